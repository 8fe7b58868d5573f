"""Read the Routes of a Service back from its VirtualService, DestinationRules and Gateway API's routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from meshkit.facts import Need, Object, Snapshot
from meshkit.kube.kinds import SERVICE
from meshkit.meshes.gateway_api import written as gateway
from meshkit.meshes.gateway_api.routes import KINDS
from meshkit.meshes.gateway_api.rules import backend_name
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE, Settings
from meshkit.meshes.istio.traffic.routes import VIRTUAL_SERVICE
from meshkit.meshes.istio.traffic.written_back import rules, settings
from meshkit.meshes.routing.written import Fields, Written, read, selector_of, version


def needs(namespace: str) -> Sequence[Need]:
    """The objects that ``routes`` reads."""
    here = (Need(kind, namespace) for kind in (SERVICE, VIRTUAL_SERVICE, DESTINATION_RULE))
    return (*here, *(Need(kind, within=(namespace,), optional=True) for kind in KINDS))


def routes(namespace: str, service: str, snapshot: Snapshot) -> Iterator[Written]:
    """The objects that route a Service, each once for each port."""
    found = snapshot.find(VIRTUAL_SERVICE.kind, service, namespace)
    if found is not None:
        for port in _ports(found):
            yield read(found, port, partial(_of_virtual_service, found, port, snapshot))
    for route, port in gateway.routes_of(service, namespace, snapshot):
        yield read(route, port, partial(_of_gateway_route, route, port, service, snapshot))


def _ports(item: Object) -> list[int | None]:
    """The ports that the rules of a VirtualService name; None for rules that name none."""
    entries = [entry for section in ("http", "tcp") for entry in (item.get("spec") or {}).get(section) or ()]
    found = {match.get("port") for entry in entries for match in entry.get("match") or [{}]}
    return sorted(found, key=lambda port: port or 0)


def _of_virtual_service(item: Object, port: int | None, snapshot: Snapshot) -> Fields:
    meta = item["metadata"]
    service, namespace = meta["name"], meta["namespace"]
    if port is None:
        raise ValueError("a rule holds for every port")
    entries = {
        section: [
            entry
            for entry in item["spec"].get(section) or ()
            if any(match.get("port") == port for match in entry.get("match") or ())
        ]
        for section in ("http", "tcp")
    }
    rule = snapshot.find(DESTINATION_RULE.kind, service, namespace)
    subsets = {each["name"]: each["labels"] for each in (rule or {"spec": {}})["spec"].get("subsets") or ()}
    if entries["tcp"]:
        fields = rules.tcp_fields_of(port, entries["tcp"])
    else:
        fields = rules.fields_of(service, port, entries["http"])
    return {
        **fields,
        **settings.fields_of(Settings.of(rule).routes.get(port) or {}),
        "namespace": namespace,
        "service": service,
        "api": "mesh",
        "versions": [version(name, subsets[name]) for name in fields["versions"]],
        "selector": selector_of(service, snapshot, namespace),
    }


def _of_gateway_route(item: Object, port: int | None, service: str, snapshot: Snapshot) -> Fields:
    fields = gateway.fields_of(item, port, service, snapshot, rules.literal_of)
    first = backend_name(service, fields["versions"][0]["name"])
    rule = snapshot.find(DESTINATION_RULE.kind, first, fields["namespace"])
    of_port = Settings.of(rule).routes.get(port or 0) or {}
    return {**fields, **settings.fields_of(of_port)}
