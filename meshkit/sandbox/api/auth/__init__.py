"""Who a caller is, and what it may do: tokens, RBAC, escalation and access reviews."""
