"""The HTTP layer of the API with routing, negotiation, discovery, tables and subresources."""
