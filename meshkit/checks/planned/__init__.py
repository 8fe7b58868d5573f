"""Checks before a change: requirements of intents, targets of routes and the effect of drains."""
