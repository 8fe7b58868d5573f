"""Linkerd's routes for tests of its traffic rules."""

from __future__ import annotations

from typing import Any


def to(name: str, weight: int = 1, **more: str) -> dict[str, Any]:
    return {"name": name, "port": 8080, "weight": weight, **more}
