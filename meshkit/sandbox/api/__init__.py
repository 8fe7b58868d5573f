"""The sandbox's Kubernetes API server, which serves HTTPS on loopback and stores objects in SQLite.

Clients authenticate with a bearer token; reads come from an in-memory cache. A request passes ``http``
(route, authenticate, authorize), then ``writes`` (defaults, admission, validation, field ownership) or
``reads``, then ``store``. In-process callers use ``client.LocalClient``, which enters at ``writes``. This
package holds what an API server does for any client. It must not hold controller or node behaviour, nor any
knowledge of a mesh.
"""
