"""What the proxies of a mesh do, in terms that no mesh owns: the result of every ``meaning`` package.

Pure data and lookups on Kubernetes objects. It imports only ``errors``, ``facts`` and ``kube``.
"""
