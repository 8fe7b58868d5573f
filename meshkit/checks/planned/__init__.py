"""Checks before a change: what an intent asks of the cluster, where a route leads, what a drain will do."""
