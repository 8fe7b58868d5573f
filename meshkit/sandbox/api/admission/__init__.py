"""What may refuse or change a valid write: webhooks, limits, quotas, eviction, and warnings."""
