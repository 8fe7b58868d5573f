"""The ground that everything about Kubernetes objects stands on: kinds, selectors, pods, workloads, steps.

Everything here is pure: no I/O, no clock. Nothing here knows a mesh, an intent or the sandbox.
"""
