"""Releases that nobody's terminal or notebook runs: in a process of their own, or as a Job of the cluster."""
