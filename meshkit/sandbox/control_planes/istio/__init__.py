"""Istio in the sandbox: its proxies' style and metrics, its injector, and what the pods of istiod run."""
