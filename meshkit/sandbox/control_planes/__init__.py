"""The programs that the control planes' pods run: injector, issuer, configuration writer.

A mesh has a folder here: ``data_plane.py`` (what the node agent must know of its proxies; the daemon imports
it), ``injector.py`` and ``main.py`` (what its pods run). The meaning of its objects comes from
``meshes.<mesh>.meaning`` and is never interpreted a second time.
"""
