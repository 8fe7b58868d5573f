"""Linkerd in the sandbox: proxy style, metrics, injector and the program of its components."""
