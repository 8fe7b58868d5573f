"""The HTTP face of the API: routing, negotiation, discovery, tables and subresources."""
