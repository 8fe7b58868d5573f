"""Authentication and authorization with tokens, impersonation, RBAC and access reviews."""
