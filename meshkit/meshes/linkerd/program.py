"""Linkerd's command-line program. This module imports nothing, so that ``meshkit doctor`` starts fast."""

NAME = "linkerd"
VERSION_ARGUMENTS = ("version", "--client", "--short")
"""The arguments with which it prints its own version without a cluster."""
