"""The meshes' own command-line programs, which meshkit does not need.

This module imports nothing, so that ``meshkit doctor`` starts at once.
"""

from __future__ import annotations

from collections.abc import Mapping

VERSION_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "istioctl": ("version", "--remote=false"),
    "linkerd": ("version", "--client", "--short"),
}
"""Program -> the arguments with which it prints its own version without a cluster."""
