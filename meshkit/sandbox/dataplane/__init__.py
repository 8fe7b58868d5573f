"""Envoy's configuration, rendered from the proxy model, and the metrics that each mesh would count.

May not live here: starting and stopping processes (sandbox.node), and who decides what proxies do
(sandbox.control_planes).
"""
