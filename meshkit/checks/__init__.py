"""Checks of planned and live objects; they return findings, each with a remedy.

``health.py`` runs every check of a mesh as it is, one file for each field; ``planned/`` checks intents before
anything changes. This package has the checks that apply to every mesh; differences between meshes are fields
of ``meshes.checks.MeshChecks``, and a check of one mesh is in that mesh's folder. Not allowed here: I/O, a
clock, comparisons of a mesh's name. Every code comes from ``codes``.
"""
