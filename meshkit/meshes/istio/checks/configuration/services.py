"""Checks of Services and ServiceEntries whose ports contradict each other, and of exportTo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.injection import INJECTION_RULES


def check(world: World) -> Iterator[Finding]:
    """Find ports of Services and ServiceEntries that contradict each other, and exports to no namespace."""
    inside = world.view.meshed_namespaces | {
        item["metadata"]["name"] for item in world.registry.of("namespaces") if INJECTION_RULES.request(item)
    }
    for workload in world.view.of("Deployment"):
        if workload["metadata"]["namespace"] in inside:
            yield from _of_workload(world, workload)
    for service in world.registry.of("services"):
        if service["spec"].get("type") == "ExternalName":
            yield from _external_name(service)
    for entry in world.registry.of("serviceentries"):
        yield from _addresses(entry)
    yield from dict.fromkeys(_protocols(world))
    for resource in ("virtualservices", "destinationrules", "serviceentries"):
        for item in world.registry.of(resource):
            for namespace in item["spec"].get("exportTo") or ():
                if namespace not in (".", "*", "~") and namespace not in world.namespaces:
                    message = f"spec.exportTo: there is no namespace {namespace}."
                    yield codes.finding(codes.EXPORTED_TO_UNKNOWN_NAMESPACE, title(item), message)


def _of_workload(world: World, workload: Object) -> Iterator[Finding]:
    """Find two Services of one Deployment that give a port two protocols, or one of its ports two numbers."""
    protocols: dict[int, dict[str, str]] = defaultdict(dict)
    targets: dict[Any, dict[int, str]] = defaultdict(dict)
    template = {"metadata": {**workload["spec"]["template"].get("metadata", {})}}
    template["metadata"]["namespace"] = workload["metadata"]["namespace"]
    for service in world.services_selecting(template):
        name = service["metadata"]["name"]
        for port in service["spec"].get("ports") or ():
            protocols[port["port"]].setdefault(port.get("protocol", "TCP"), name)
            targets[port.get("targetPort") or port["port"]].setdefault(port["port"], name)
    for number, found in protocols.items():
        if len(found) > 1:
            listed = " and ".join(f"{protocol} in Service {name}" for protocol, name in found.items())
            message = f"port {number} is {listed}."
            yield codes.finding(codes.PORT_PROTOCOLS_CLASH, title(workload), message)
    for target, numbers in targets.items():
        if len(set(numbers.values())) > 1:
            listed = " and ".join(f"{number} of Service {name}" for number, name in numbers.items())
            message = f"ports {listed} lead to its port {target}."
            yield codes.finding(codes.TARGET_PORTS_CLASH, title(workload), message)


def _external_name(service: Object) -> Iterator[Finding]:
    for port in service["spec"].get("ports") or ():
        prefix = str(port.get("appProtocol") or port.get("name") or "").partition("-")[0]
        if prefix in ("", "tcp"):
            message = f"port {port['port']} of this ExternalName Service is plain TCP."
            yield codes.finding(codes.EXTERNAL_NAME_PORT, title(service), message)


def _addresses(entry: Object) -> Iterator[Finding]:
    spec = entry["spec"]
    if spec.get("addresses") or (entry.get("status") or {}).get("addresses"):
        return
    for port in spec.get("ports") or ():
        protocol = str(port.get("protocol") or "").upper()
        if protocol in ("", "TCP"):
            what = "is TCP" if protocol else "names no protocol, so it may be TCP"
            message = f"port {port['number']} {what}, and spec.addresses is empty."
            yield codes.finding(codes.ENTRY_WITHOUT_ADDRESSES, title(entry), message)


def _protocols(world: World) -> Iterator[Finding]:
    """Find ServiceEntries that some callers see together and that give a host and port two protocols."""
    declared: dict[tuple[str, int], list[tuple[str, set[str], Object]]] = defaultdict(list)
    for entry in world.registry.of("serviceentries"):
        own = entry["metadata"]["namespace"]
        scopes = {own if name == "." else name for name in entry["spec"].get("exportTo") or ("*",)}
        for host in entry["spec"].get("hosts") or ():
            for port in entry["spec"].get("ports") or ():
                protocol = str(port.get("protocol", "")).upper()
                declared[host, port["number"]].append((protocol, scopes, entry))
    for (host, number), found in declared.items():
        for protocol, scopes, entry in found:
            for other_protocol, other_scopes, other in found:
                together = "*" in scopes | other_scopes or scopes & other_scopes
                if protocol != other_protocol and together:
                    message = f"{title(other)} declares port {number} of {host} as {other_protocol}, "
                    message += f"this one as {protocol}."
                    yield codes.finding(codes.ENTRY_PROTOCOLS_CLASH, title(entry), message)
