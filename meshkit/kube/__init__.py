"""Functions on Kubernetes objects: kinds, selectors, pods, workloads, quantities and steps.

All of it is pure: no I/O and no clock. Nothing in this package depends on a mesh, an intent or the sandbox.
"""
