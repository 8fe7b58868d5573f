"""Canary releases: the loop that shifts traffic to a new version, its state, commands and undo.

This package contains no widgets and no HTML.
"""
