"""WHAT is wanted: frozen pydantic models, neutral to the mesh.

Each file holds the words of one field: mesh.py (control plane), injection.py, security.py (mutual TLS),
traffic.py (routes), release.py (canary). base.py turns pydantic's errors into ``BadInput``; document.py
reads intents from YAML. May not live here: I/O, a clock, Kubernetes objects, what is true of one mesh only.
"""
