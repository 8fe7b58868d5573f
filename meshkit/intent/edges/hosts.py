"""Full host names in intents: of hosts outside of the mesh, and of those that a gateway serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?({_LABEL}\.)+(?!\d+$){_LABEL}")


def _full_host(name: str) -> str:
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a full host name in lower case, such as payments.example.com or *.example.com"
        )
    if re.search(r"\.svc(\.|$)", name):
        raise ValueError(f"{name!r} is a Service of the cluster, which every mesh knows by itself")
    return name


FullHost = Annotated[str, AfterValidator(_full_host)]
"""A host name with a dot, or a pattern for all hosts within one; no Service of the cluster."""


def first_repeated(values: Iterable[object]) -> int | None:
    """The index of the first value that stands before it, too; None if each is there once."""
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            return index
        seen.add(value)
    return None
