"""One folder for each mesh, behind one protocol (``base.py``); ``registry.py`` is the one table.

Everything here is pure: objects and intents in, steps and findings out. No I/O and no clock. No file beside
the folders of meshes decides by a mesh's name. This file imports nothing, because the sandbox imports
``meshes.*.meaning`` and must start fast.
"""
