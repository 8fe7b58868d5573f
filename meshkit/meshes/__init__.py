"""The meshes: one folder each, with a common protocol (``base.py``) and a table (``registry.py``).

The package is pure: it takes objects and intents and returns steps and findings, without I/O and clock. Code
outside the folders of meshes does not depend on a mesh's name. This file imports nothing, because the sandbox
imports ``meshes.*.meaning`` and must start fast.
"""
