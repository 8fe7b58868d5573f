"""A case is a YAML file under ``cases/``: the objects that a user would write, and what is asked about them.

about: one sentence, for the page in the docs
outbound: ["web:8080 from shop", ...]      what a proxy of the namespace does for a port of a Service
inbound: ["web-v1-1:8080", ...]            what the proxy of a pod does for one of its ports
statuses: [HTTPRoute web, ...]             what the status of a route says
differs: {reason: ..., in: ["web:8080 from shop"]}   a difference that is known: fails when it is gone
objects: [...]                             in the namespace shop unless they say another
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent / "cases"
_FIELDS = {"about", "outbound", "inbound", "statuses", "differs", "objects"}


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    about: str
    objects: tuple[dict[str, Any], ...]
    outbound: tuple[str, ...] = ()
    inbound: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    differs_in: frozenset[str] = frozenset()
    reason: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """Everything that is compared."""
        return (*self.outbound, *self.inbound, *self.statuses)


def read(path: Path) -> Case:
    """The case of a file. Raises ValueError naming what is not known."""
    written = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # keys are strings in JSON
    if unknown := set(written) - _FIELDS:
        raise ValueError(f"{path.name}: {sorted(unknown)} is not known")
    differs = written.get("differs") or {}
    objects = written.get("objects") or ()
    for item in objects:
        if item["kind"] != "Namespace":
            item["metadata"].setdefault("namespace", "shop")
    case = Case(
        name=path.stem,
        about=written["about"],
        objects=tuple(objects),
        outbound=tuple(written.get("outbound") or ()),
        inbound=tuple(written.get("inbound") or ()),
        statuses=tuple(written.get("statuses") or ()),
        differs_in=frozenset(differs.get("in") or ()),
        reason=differs.get("reason", ""),
    )
    if not case.asked or not case.differs_in <= set(case.asked) or bool(case.reason) != bool(case.differs_in):
        raise ValueError(f"{path.name}: it asks something, and a difference names what, with its reason")
    return case


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [read(path) for path in sorted(HERE.glob("*.yaml"))]


def service_port(asked: str) -> tuple[str, str, int, str]:
    """Service, namespace, port and the caller's namespace of ``web:8080 from shop``."""
    where, _, caller = asked.partition(" from ")
    name, _, port = where.partition(":")
    service, _, namespace = name.partition(".")
    return service, namespace or "shop", int(port), caller


def pod_port(asked: str) -> tuple[str, str, int]:
    """Pod, namespace and port of ``web-v1-1:8080``."""
    name, _, port = asked.partition(":")
    pod, _, namespace = name.partition(".")
    return pod, namespace or "shop", int(port)
