"""Admission steps that reject or change a valid write, such as webhooks, limits, quotas and eviction."""
