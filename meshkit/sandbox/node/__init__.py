"""The sandbox's nodes: each pod is processes on an address of its own.

Three nodes in three zones are one agent in the daemon's process: it starts what the scheduler has bound,
wires up sidecars, probes, restarts, keeps logs and writes pod status. Pods share this machine's kernel, files
and processor: they are separated by address and identity, not isolated. May not live here: deciding which
pods there should be (sandbox.controllers), proxy configuration (sandbox.dataplane).
"""
