"""What a release keeps of the rules at gateways that it moves beside the route of callers in the mesh."""
