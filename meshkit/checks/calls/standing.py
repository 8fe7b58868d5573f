"""Checks of routes that need no traffic: retries of requests that write, and faults and mirrors left behind.

The rules are those that the mesh's meaning gives a caller in the namespace of their object.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of, group_of, title
from meshkit.meshes import registry
from meshkit.meshes.model import words
from meshkit.meshes.model.outbound import Match, Route
from meshkit.meshes.view import View

_FAULT_DAYS, _MIRROR_DAYS = 1, 7
_DAY_S = 86_400
_WRITES = ("POST", "PATCH")
_ANSWERS = frozenset({"5xx", "gateway-error"})
"""What a retry is for, by Envoy's names, if the server may have carried the request out."""
_TELLING = ("retries", "fault", "mirror", "mirrors", "filters")
"""The fields of a rule without which it has nothing to find."""
_RETRY = "retry.linkerd.io/"


def check(view: View) -> Iterator[Finding]:
    """Find retries of requests that write, and faults and mirrors that are older than a test lasts."""
    for route, item in rules_of_objects(view):
        where = title(item)
        yield from _retries(route, where)
        yield from _left(route, item, view.now)


def rules_of_objects(view: View) -> Iterator[tuple[Route, Object]]:
    """The rules of objects that have retries, faults or mirrors, each once, with their objects."""
    meaning = registry.mesh(view.mesh).meaning
    kinds = {(kind.group, kind.kind) for kind in meaning.KINDS.values()}
    telling = {
        title(item): item
        for item in view.snapshot.objects
        if (group_of(item), item["kind"]) in kinds and _is_telling(item)
    }
    seen: set[str] = set()
    objects = view.registry(meaning.KINDS)
    for namespace in sorted({item["metadata"].get("namespace", "") for item in telling.values()}):
        meta = {"name": "caller", "namespace": namespace, "labels": {}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}
        for host in meaning.outbound(objects, meaning.caller_of(objects, pod)).hosts:
            for route in host.routes:
                if route.ruler in telling and route.source not in seen:
                    seen.add(route.source)
                    yield route, telling[route.ruler]


def amplifying(route: Route) -> int:
    """How often a request is sent again, at most, after an answer with an error; 0 for other retries."""
    retry = route.retry
    if retry is None or not (_ANSWERS & set(retry.retry_on) or set(retry.statuses) - {503}):
        return 0
    return retry.attempts


def needs_traffic(item: Object) -> bool:
    """Whether an object sets retries, timeouts or limits, which only traffic shows to be right."""
    spec: Mapping[str, Any] = item.get("spec") or {}
    policies = [spec, *(each for each in spec.get("subsets") or () if isinstance(each, Mapping))]
    limited = any((each.get("trafficPolicy") or {}).get("connectionPool") for each in policies)
    return limited or _has(item, ("retries", "timeout", "timeouts"))


def _is_telling(item: Object) -> bool:
    return _has(item, _TELLING)


def _has(item: Object, fields: Collection[str]) -> bool:
    """Whether a rule of an object has one of these fields, or an annotation asks for retries."""
    if any(name.startswith(_RETRY) for name in annotations_of(item)):
        return True
    spec: Mapping[str, Any] = item.get("spec") or {}
    rules = [rule for name in ("http", "rules") for rule in spec.get(name) or ()]
    return any(isinstance(rule, Mapping) and any(rule.get(name) for name in fields) for rule in rules)


def _retries(route: Route, where: str) -> Iterator[Finding]:
    attempts = amplifying(route)
    if not attempts:
        return
    named = [method for method in _WRITES if any(_asks_for(match, method) for match in route.matches)]
    if named:
        rule = route.source.removeprefix(f"{where} ")
        what = f"{' and '.join(named)} requests of {rule}"
        message = f"{what} are sent again after an error, at most {attempts} times."
        yield codes.finding(codes.RETRY_NOT_IDEMPOTENT, where, message)


def _asks_for(match: Match, method: str) -> bool:
    """Whether a match names a method, exactly or as one of few."""
    asked = match.method
    if asked is None:
        return False
    if asked.kind == "exact":
        return asked.value == method
    return asked.kind == "regex" and method in asked.value.strip("^$()").split("|")


def _left(route: Route, item: Object, now: dt.datetime) -> Iterator[Finding]:
    since = unchanged_since(item)
    if since is None:
        return
    days = (now - since).total_seconds() / _DAY_S
    where, rule = title(item), route.source.removeprefix(f"{title(item)} ")
    age = f"It has stood so since {since:%Y-%m-%d}, for {days:.0f} days."
    if route.fault and days >= _FAULT_DAYS:
        told = [text for text in words.actions(route) if text.startswith(("delays", "aborts"))]
        yield codes.finding(codes.FAULT_LEFT, where, f"{rule} {' and '.join(told)}. {age}")
    for mirror in route.mirrors if days >= _MIRROR_DAYS else ():
        to = words.cluster_words(mirror.cluster)
        message = f"{rule} mirrors {words.number(mirror.percent)} % of its requests to {to}. {age}"
        yield codes.finding(codes.MIRROR_LEFT, where, message)


def unchanged_since(item: Object) -> dt.datetime | None:
    """When the spec of an object was last written, else when the object was made; None if neither is told."""
    meta = item["metadata"]
    times = [
        str(entry["time"])
        for entry in meta.get("managedFields") or ()
        if entry.get("time") and "f:spec" in (entry.get("fieldsV1") or {})
    ]
    text = max(times, default="") or str(meta.get("creationTimestamp") or "")
    try:
        found = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
