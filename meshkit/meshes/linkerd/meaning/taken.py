"""Which routes on Services Linkerd takes, and what it reads of them.

A rule with a filter that Linkerd does not know, or an annotation that it cannot read, drops the *whole* route
in silence: its status remains accepted. Here that silence is a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.meshes.gateway_api.meaning.routes import parents_of
from meshkit.meshes.linkerd.meaning import reliability
from meshkit.meshes.linkerd.meaning.authorization import GROUP as POLICY_GROUP
from meshkit.meshes.linkerd.meaning.authorization import ROUTES
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import age_of
from meshkit.meshes.model.translation import Translation

ROUTE_DROPPED = "RouteDropped"
FILTER_CONFUSED = "FilterConfused"
FIELD_IGNORED = "IgnoredField"
TIMEOUT_VOID = "TimeoutVoid"
_HEADERS = {"RequestHeaderModifier", "ResponseHeaderModifier"}
_FILTERS = {"HTTPRoute": {*_HEADERS, "RequestRedirect"}, "GRPCRoute": _HEADERS}


@dataclass(frozen=True, eq=False)
class TakenRoute:
    """A route that Linkerd takes. ``group`` tells its own kind from Gateway API's."""

    item: Object
    kind: str
    group: str

    @property
    def namespace(self) -> str:
        """The route's namespace."""
        return str(self.item["metadata"]["namespace"])

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """The rules as Linkerd reads them: in its own kind response filters are request filters."""
        return tuple(_as_read(rule, self.group) for rule in self.item["spec"].get("rules") or ())


def taken_routes(
    work: Translation, parents: Callable[[Object], Sequence[Mapping[str, Any]]] = parents_of
) -> list[TakenRoute]:
    """The routes on Services, or on other ``parents``, that Linkerd takes, the oldest first."""
    found = [
        TakenRoute(item, kind, group)
        for resource, (group, kind) in ROUTES.items()
        for item in work.registry.of(resource)
        if parents(item) and _is_taken(work, item, kind, group)
    ]
    return sorted(found, key=lambda taken: age_of(taken.item))


def _is_taken(work: Translation, item: Object, kind: str, group: str) -> bool:
    if why := reliability.refusal(item["metadata"].get("annotations") or {}, kind):
        work.problems.append(Problem(item, ROUTE_DROPPED, f"{why}: Linkerd drops the whole route."))
        return False
    for index, rule in enumerate(item["spec"].get("rules") or ()):
        if not _is_rule_taken(work, item, kind, group, index, rule):
            return False
    return True


def _is_rule_taken(
    work: Translation, item: Object, kind: str, group: str, index: int, rule: Mapping[str, Any]
) -> bool:
    where = f"spec.rules[{index}]"
    refs = rule.get("backendRefs") or ()
    filters = [*(rule.get("filters") or ()), *(f for ref in refs for f in ref.get("filters") or ())]
    for entry in filters:
        if entry["type"] not in _FILTERS[kind]:
            message = f"{where} has the filter {entry['type']}: Linkerd drops the whole route."
            work.problems.append(Problem(item, ROUTE_DROPPED, message))
            return False
        if group == POLICY_GROUP and entry["type"] == "ResponseHeaderModifier":
            message = f"{where}: Linkerd takes a ResponseHeaderModifier of this kind for one of requests."
            work.problems.append(Problem(item, FILTER_CONFUSED, message))
    ignored = [name for name in ("retry", "sessionPersistence") if rule.get(name)]
    ignored += ["timeouts.backendRequest"] if (rule.get("timeouts") or {}).get("backendRequest") else []
    for name in ignored:
        work.problems.append(Problem(item, FIELD_IGNORED, f"{where}.{name} is ignored by Linkerd."))
    try:
        reliability.request_timeout_s(rule, group)
    except ValueError as problem:
        message = f"{where}.timeouts.request: {problem}: to Linkerd there is no timeout."
        work.problems.append(Problem(item, TIMEOUT_VOID, message))
    return True


def _as_read(rule: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    if group != POLICY_GROUP:
        return rule
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": entry.get("responseHeaderModifier")}
        if entry["type"] == "ResponseHeaderModifier"
        else entry
        for entry in rule.get("filters") or ()
    ]
    return {**rule, "filters": filters}
