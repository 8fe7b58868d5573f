"""Translate Istio's objects to the proxy model of ``meshes.model``.

Pure: it imports only ``errors``, ``facts``, ``kube``, the model and other ``meaning`` packages.
"""
