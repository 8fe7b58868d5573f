"""Plan the VirtualService and the DestinationRule of a Route.

Both hold for the Route's port only: rules match it, and policies are settings of the port. What another Route
wrote for another port of the Service stays. Requests to a subset fail with status 503 while no
DestinationRule defines it, so new subsets are applied before the rules, and retired ones are removed after
them. Sent in one push, new rules would be in force some tens of milliseconds before their subsets, so the
proxies get time to learn of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    Raises ``BadInput`` for a port of which Istio carries other things: requests or whole connections.
    """
    refuse(route, "Istio", LIMITS)
    refuse_tcp(route, snapshot)
    kept = {section: tuple(_kept_rules(route, section, snapshot)) for section in ("http", "tcp")}
    rule = _destination_rule(route, snapshot, [*kept["http"], *kept["tcp"]])
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
    """Raise ``BadInput`` for a Route or Release on a port where proxies follow no rules of its protocol."""
    service = snapshot.find("Service", intent.service, intent.namespace) or {}
    of_connections = isinstance(intent, Route) and intent.protocol == "tcp"
    for port in (service.get("spec") or {}).get("ports") or ():
        if port["port"] != intent.port:
            continue
        protocol = protocol_of(port)
        what, name = kind(type(intent)), f"{intent.namespace}/{intent.service}"
        if of_connections and read_as(protocol) != "tcp":
            problem = (
                f"Istio reads port {intent.port} of Service {name} as {protocol or 'what it detects'}:"
                " it does not split whole connections there."
            )
            remedy = "Leave protocol out, or set appProtocol: tcp on the port in the Service."
            raise BadInput(f"{what}.protocol", problem, remedy=remedy)
        if not of_connections and read_as(protocol) == "tcp":
            problem = (
                f"Istio takes port {intent.port} of Service {name} for plain TCP, as its protocol is"
                f" {protocol}: the {what} would have no effect."
            )
            remedy = "If the port speaks HTTP, set appProtocol: http on it in the Service"
            remedy += "; else a Route with protocol: tcp splits its connections."
            raise BadInput(f"{what}.port", problem, remedy=remedy)


def _kept_rules(route: Route, section: str, snapshot: Snapshot) -> Iterator[Object]:
    """The rules of the present VirtualService that hold for other ports only."""
    present = snapshot.find(VIRTUAL_SERVICE.kind, route.service, route.namespace) or {}
    for rule in (present.get("spec") or {}).get(section) or ():
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


def _virtual_service(route: Route, kept: Mapping[str, Sequence[Object]]) -> dict[str, Any]:
    of_requests = route.protocol == "http"
    made: dict[str, Iterable[Object]] = {
        "http": rules.http_rules(route) if of_requests else (),
        "tcp": () if of_requests else rules.tcp_rules(route),
    }
    spec: dict[str, Any] = {"hosts": [route.service]}
    for section, own in made.items():
        if entries := sorted([*kept[section], *own], key=lambda rule: min(_ports_of([rule]))):
            spec[section] = entries
    return manifests.obj(VIRTUAL_SERVICE, route.service, route.namespace, spec=spec)
