"""``linkerd check`` as Linkerd's analyzer. Its checks have no codes: their findings get ``LINKERD``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit.facts import Finding
from meshkit.meshes.base import Analyzer
from meshkit.meshes.linkerd.program import NAME


def _arguments(pre: bool) -> list[str]:
    return ["check", *(["--pre"] if pre else []), "--output=json", "--wait=10s"]


def _findings(answer: dict[str, Any]) -> Iterator[Finding]:
    for category in answer["categories"]:
        for one in category.get("checks") or ():
            if one["result"] in ("error", "warning"):
                told = str(one.get("error") or one["description"])
                hint = f"See {one['hint']}" if one.get("hint") else "See linkerd check."
                yield Finding("LINKERD", one["result"], str(category["categoryName"]), told, hint)


ANALYZER = Analyzer(NAME, _arguments, _findings)
