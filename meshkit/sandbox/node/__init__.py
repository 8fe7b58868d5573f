"""The node agent runs each pod of the sandbox as processes with their own IP address.

One agent in the daemon's process represents three nodes in three zones. It starts the pods that the scheduler
has bound, sets up sidecars, runs probes, restarts containers, stores logs and writes pod status. Pods share
this machine's kernel, files and CPU: addresses and identities separate them, but nothing isolates them. This
package does not decide which pods exist (sandbox.controllers) and renders no proxy configuration
(sandbox.dataplane).
"""
