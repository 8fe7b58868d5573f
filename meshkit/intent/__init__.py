"""Intents: the desired state of a mesh as frozen pydantic models that are independent of the mesh.

Each file has the intents of one topic: mesh.py (control plane), injection.py, security.py (mutual TLS),
traffic.py (routes), release.py (canary). base.py turns pydantic's errors into ``BadInput``; document.py
reads intents from YAML. Not allowed here: I/O, a clock, Kubernetes objects, facts about a single mesh.
"""
