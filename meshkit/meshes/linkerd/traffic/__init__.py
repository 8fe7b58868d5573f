"""Linkerd: what a Route, DestinationPolicy or Egress becomes."""
