"""What callers know of their destinations: DestinationRules, traffic policies and clusters."""
