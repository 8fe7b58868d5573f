"""Istio's command-line program. This module imports nothing, so that ``meshkit doctor`` starts fast."""

NAME = "istioctl"
VERSION_ARGUMENTS = ("version", "--remote=false")
"""The arguments with which it prints its own version without a cluster."""
