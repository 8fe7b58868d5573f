"""What brings stored objects to life: Deployments, Jobs, scheduling, endpoints, budgets, namespaces.

Each module is one controller: which changes it looks at, and ``reconcile``, which compares what is wanted
with what is there and takes the next step. They talk to each other only through objects, by ``LocalClient``.
May not live here: processes and addresses (sandbox.node), request handling (sandbox.api), anything of a mesh.
"""
