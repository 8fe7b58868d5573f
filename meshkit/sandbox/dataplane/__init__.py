"""Renders Envoy configuration from the proxy model, delivers it and computes each mesh's metrics.

This package does not start or stop processes (sandbox.node) and does not decide what proxies do
(sandbox.control_planes).
"""
