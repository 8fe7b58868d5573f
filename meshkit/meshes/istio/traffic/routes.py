"""Plan the VirtualService and the DestinationRule of a Route.

Both hold for the Route's port only: rules match it, and policies are settings of the port. What another Route
wrote for another port of the Service stays. Requests to a subset fail with status 503 while no
DestinationRule defines it, so new subsets are applied before the rules, and retired ones are removed after
them. Sent in one push, new rules would be in force some tens of milliseconds before their subsets, so the
proxies get time to learn of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.kube import manifests
from meshkit.kube.steps import Step
from meshkit.meshes.istio.meaning.hosts import protocol_of, read_as
from meshkit.meshes.istio.traffic import rules
from meshkit.meshes.istio.traffic import settings as of_destinations
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE, Settings
from meshkit.meshes.routing.capabilities import Limits, refuse

VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")
LIMITS: Limits = {**rules.LIMITS, **of_destinations.LIMITS}
"""The fields of a Route that neither VirtualServices nor DestinationRules can carry out."""

SETTLE_S = 1.0
"""istiod collects changes for 0.1 s and sends them to every proxy within some tenths of a second."""


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route: the subsets and their policy, then the rules.

    Subsets that the Route does not have any more stay until the rules are in force, and are removed last.
    Raises ``BadInput`` for a port that Istio treats as plain TCP.
    """
    refuse(route, "Istio", LIMITS)
    refuse_tcp(route, snapshot)
    kept = tuple(_kept_rules(route, snapshot))
    rule = _destination_rule(route, snapshot, kept)
    virtual_service = _virtual_service(route, kept)
    retired = _retired_subsets(rule, snapshot)
    if not retired:
        return (Step(rule, settle_s=SETTLE_S), Step(virtual_service))
    spec = rule["spec"]
    wider = {**rule, "spec": {**spec, "subsets": [*spec["subsets"], *retired]}}
    return (Step(wider, settle_s=SETTLE_S), Step(virtual_service, settle_s=SETTLE_S), Step(rule))


def _retired_subsets(rule: Object, snapshot: Snapshot) -> list[Object]:
    """The subsets of the present DestinationRule that the new one lacks."""
    meta = rule["metadata"]
    present = snapshot.find(DESTINATION_RULE.kind, meta["name"], meta["namespace"]) or {}
    names = {subset["name"] for subset in rule["spec"]["subsets"]}
    return [each for each in (present.get("spec") or {}).get("subsets") or () if each["name"] not in names]


def refuse_tcp(intent: Route | Release, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for a Route or Release on a port where proxies follow no rules of HTTP."""
    service = snapshot.find("Service", intent.service, intent.namespace) or {}
    for port in (service.get("spec") or {}).get("ports") or ():
        protocol = protocol_of(port)
        if port["port"] == intent.port and read_as(protocol) == "tcp":
            what, name = kind(type(intent)), f"{intent.namespace}/{intent.service}"
            problem = (
                f"Istio takes port {intent.port} of Service {name} for plain TCP, as its protocol is"
                f" {protocol}: the {what} would have no effect."
            )
            remedy = "If the port speaks HTTP, set appProtocol: http on it in the Service."
            raise BadInput(f"{what}.port", problem, remedy=remedy)


def _kept_rules(route: Route, snapshot: Snapshot) -> Iterator[Object]:
    """The rules of the present VirtualService that hold for other ports only."""
    present = snapshot.find(VIRTUAL_SERVICE.kind, route.service, route.namespace) or {}
    for rule in (present.get("spec") or {}).get("http") or ():
        matches = rule.get("match") or [{}]
        if all(match.get("port") not in (None, route.port) for match in matches):
            yield rule


def _destination_rule(route: Route, snapshot: Snapshot, kept: Sequence[Object]) -> dict[str, Any]:
    """The subsets of this Route and those that the kept rules use, and the settings of each port."""
    present = snapshot.find(DESTINATION_RULE.kind, route.service, route.namespace) or {}
    spec = present.get("spec") or {}
    subsets = [{"name": version.name, "labels": version.pod_labels()} for version in route.versions]
    names, used = {version.name for version in route.versions}, set(_subsets_of(kept))
    subsets += [each for each in spec.get("subsets") or () if each["name"] in used - names]
    settings = Settings.of(present or None).with_route(route, _ports_of(kept))
    body: dict[str, Any] = {"host": route.service, "subsets": subsets}
    if policy := settings.traffic_policy():
        body["trafficPolicy"] = policy
    notes = settings.annotations()
    return manifests.obj(DESTINATION_RULE, route.service, route.namespace, annotations=notes, spec=body)


def _ports_of(rules: Iterable[Object]) -> set[int]:
    return {match["port"] for rule in rules for match in rule["match"]}


def _subsets_of(rules: Iterable[Object]) -> Iterator[str]:
    for rule in rules:
        for entry in (*(rule.get("route") or ()), *(rule.get("mirrors") or ())):
            yield entry["destination"].get("subset", "")


def _virtual_service(route: Route, kept: Sequence[Object]) -> dict[str, Any]:
    http = rules.http_rules(route)
    by_port = sorted([*kept, *http], key=lambda rule: min(_ports_of([rule])))
    spec = {"hosts": [route.service], "http": by_port}
    return manifests.obj(VIRTUAL_SERVICE, route.service, route.namespace, spec=spec)
