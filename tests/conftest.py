"""Fixtures that tests of several kinds share."""

from __future__ import annotations

from meshkit.testing import sandbox

__all__ = ["sandbox"]
