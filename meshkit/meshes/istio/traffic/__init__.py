"""Plan VirtualServices and DestinationRules, and find the weights in those of others. No I/O."""
