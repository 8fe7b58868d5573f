"""A program of its own: a small Kubernetes with real Envoy proxies.

Imports nothing of the library but its errors."""
