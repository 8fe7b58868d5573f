"""The sandbox, a small Kubernetes with real Envoy proxies that runs as a separate program.

Of the library it imports only ``errors``, ``settings``, ``kube`` and what mesh objects mean (``meshes``).
"""
