"""The connection to an API server: its certificates, and the bounds of its answers."""
