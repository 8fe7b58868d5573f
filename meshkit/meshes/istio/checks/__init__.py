"""Checks for Istio only, and the facts about Istio that all checks use (``table.py``)."""
