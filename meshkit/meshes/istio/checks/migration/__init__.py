"""What stands in the way of moving namespaces from sidecars to the ambient mode. It reads no cluster."""
