"""A case is a YAML file under ``cases/``: the objects that a user would write, and the requests to send.

about: one sentence, for the page in the docs
client: {namespace: shop, labels: {app: shop-front}}
server: web-v1-1      the requests go to this pod through its own proxy, and not through a client's
protocol: TCP         of the server's port 8080, else HTTP
requests:
  - {to: "web:8080", path: /, method: GET, headers: {}, count: 400, at_once: 8}
observe: [version, path, "header:x-user", ...]       what of an answer is compared, beside its status
compare: [routes, clusters, answers]                 everything, unless the file says less
                                                     of a server: [modes, answers]
differs: {reason: ..., in: [routes]}                 a difference that is known: fails when it is gone
objects: [...]
route: {split: ..., rules: ...}                      what meshkit plans for a Route of web:8080
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route
from meshkit.meshes.istio import planner as istio

HERE = Path(__file__).parent / "cases"
COMPARED = ("routes", "clusters", "answers")
OF_SERVER = ("modes", "answers")
_FIELDS = {
    *(
        "about",
        "client",
        "server",
        "protocol",
        "requests",
        "observe",
        "compare",
        "differs",
        "objects",
        "route",
    )
}
_REQUEST = {"to", "path", "method", "headers", "count", "at_once", "slow_s", "hits"}


@dataclass(frozen=True)
class Group:
    """``count`` equal requests, ``at_once`` of them in flight.

    With ``slow_s`` an answer is also told fast or slow; with ``hits`` the number of requests that reached
    each version is compared, which tells retries and mirrors.
    """

    to: str
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    count: int = 20
    at_once: int = 4
    slow_s: float | None = None
    hits: bool = False

    @property
    def port(self) -> int:
        return int(self.to.rpartition(":")[2])

    @property
    def says(self) -> str:
        told = " ".join(f"{name}:{value}" for name, value in self.headers.items())
        return f"{self.count} x {self.method} {self.to}{self.path} {told}".strip()


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    about: str
    objects: tuple[dict[str, Any], ...]
    groups: tuple[Group, ...]
    observe: tuple[str, ...]
    compare: tuple[str, ...]
    namespace: str = "shop"
    labels: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    protocol: str = "HTTP"
    differs_in: frozenset[str] = frozenset()
    reason: str = ""


def read(path: Path) -> Case:
    """The case of a file. Raises ValueError naming what is not known."""
    written = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # keys are strings in JSON
    unknown = set(written) - _FIELDS | {key for each in written["requests"] for key in set(each) - _REQUEST}
    if unknown:
        raise ValueError(f"{path.name}: {sorted(unknown)} is not known")
    client, differs = written.get("client") or {}, written.get("differs") or {}
    known = OF_SERVER if written.get("server") else COMPARED
    compare, differs_in = tuple(written.get("compare") or known), frozenset(differs.get("in") or ())
    if not {*compare, *differs_in} <= set(known):
        raise ValueError(f"{path.name}: compare and differs.in take {known}")
    if differs and not (differs_in and differs.get("reason")):
        raise ValueError(f"{path.name}: a difference says where it is, and its reason")
    namespace = client.get("namespace", "shop")
    objects = [*(written.get("objects") or ()), *_planned(written.get("route"))]
    for item in objects:
        item["metadata"].setdefault("namespace", "shop")
    return Case(
        name=path.stem,
        about=written["about"],
        objects=tuple(objects),
        groups=tuple(Group(**each) for each in written["requests"]),
        observe=tuple(written.get("observe") or ("version",)),
        compare=compare,
        namespace=namespace,
        labels=client.get("labels") or {"app": "client"},
        server=written.get("server", ""),
        protocol=written.get("protocol", "HTTP"),
        differs_in=differs_in,
        reason=differs.get("reason", ""),
    )


def _planned(route: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The objects of a Route."""
    if not route:
        return []
    intent = Route(namespace="shop", service="web", port=8080, **route)
    return [dict(step.object) for step in istio.PLANNER.plan(intent, Snapshot())]


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [read(path) for path in sorted(HERE.glob("*.yaml"))]
