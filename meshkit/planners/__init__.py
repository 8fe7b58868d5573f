"""Intent -> ordered steps: the Kubernetes objects that make it true, and what to wait for after each.

steps.py is the vocabulary, base.py the seam between meshes, istio.py and linkerd.py the meshes,
gateway_api.py and kubernetes.py the objects that they share. Undo is not planned: cluster/ journals what
each step replaced. May not live here: I/O, a clock, randomness. The same intent and snapshot always give
the same steps.
"""
