"""A mesh-independent model of proxy configuration, which every ``meaning`` package produces.

It has only data and lookups on Kubernetes objects, and imports only ``errors``, ``facts`` and ``kube``.
"""
