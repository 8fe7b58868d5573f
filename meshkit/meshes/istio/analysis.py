"""istioctl as Istio's analyzer: its arguments, and its messages as findings that keep their codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit.facts import Finding, Severity
from meshkit.meshes.base import Analyzer
from meshkit.meshes.istio.program import NAME

_LEVELS: dict[str, Severity] = {"Error": "error", "Warning": "warning", "Info": "info"}


def _arguments(pre: bool) -> list[str]:
    return ["experimental", "precheck", "--output=json"] if pre else ["analyze", "-A", "--output=json"]


def _findings(answer: list[dict[str, Any]] | None) -> Iterator[Finding]:
    for one in answer or ():
        remedy = f"See {one['documentationUrl']}" if one.get("documentationUrl") else "See istioctl analyze."
        severity = _LEVELS.get(str(one["level"]), "warning")
        yield Finding(str(one["code"]), severity, str(one.get("origin", "")), str(one["message"]), remedy)


ANALYZER = Analyzer(NAME, _arguments, _findings)
