"""The programs that the control planes' pods run: injector, issuer, configuration writer.

Whoever adds a mesh's data plane adds its injection and its certificates here. The meaning of the mesh's
objects comes from ``meshes.<mesh>.meaning`` and is never interpreted a second time.
"""
