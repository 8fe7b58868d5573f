"""Upgrades of a mesh: status, steps and rollback, without widgets."""
