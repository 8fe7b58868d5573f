"""How Linkerd carries Routes."""
