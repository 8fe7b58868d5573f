"""The sandbox's Kubernetes API server: HTTPS and a bearer token on loopback, SQLite behind an in-memory
cache.

A request passes ``http`` (route, authenticate, authorize) -> ``writes`` (defaults, admission, validation,
field ownership) or ``reads`` -> ``store``. In-process callers use ``client.LocalClient``, which enters at
``writes``. Lives here: what an API server does for any client. May not live here: what a controller or a
node does (bringing objects to life), and anything that knows a mesh.
"""
