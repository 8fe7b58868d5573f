"""The choice of a node for each pod: filters, spread, taints and tolerations."""
