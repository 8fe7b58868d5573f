"""Linkerd in the sandbox: its proxies' style and metrics, its injector, and what its components run."""
