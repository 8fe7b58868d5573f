"""Objects, planned or live -> findings, each with a remedy.

``health.py`` runs every check of a mesh as it is, one file for each field; ``planned/`` checks intents before
anything changes. Only findings that no single mesh owns live here: what differs between meshes is a field of
``meshes.checks.MeshChecks``, and a check of one mesh lives in that mesh's folder. May not do I/O, read a
clock or compare a mesh's name; every code comes from ``codes``.
"""
