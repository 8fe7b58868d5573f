"""The only package that opens a connection to an API server."""
