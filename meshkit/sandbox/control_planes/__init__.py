"""The programs that the control planes' pods run: injector, issuer and configuration writer.

Each mesh has a folder with ``data_plane.py`` (what the node agent needs to know about its proxies; the
daemon imports it), ``injector.py``, and ``main.py`` (the program of its pods). Only
``meshes.<mesh>.meaning`` interprets the mesh's objects.
"""
