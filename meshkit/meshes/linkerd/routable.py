"""Refuse HTTP rules where Linkerd would follow none: on opaque ports, and beside a ServiceProfile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.meshes.linkerd.meaning import protocols, services
from meshkit.meshes.model.pods import port_numbers

_REMEDY = (
    f"If the port speaks HTTP, list the opaque ports without it in {protocols.OPAQUE} of the Service,"
    " and leave appProtocol out or set it to http; else leave the rules out."
)


def refuse_void(intent: Route | Release, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for a Route or Release whose rules Linkerd would accept and not follow."""
    service = snapshot.find("Service", intent.service, intent.namespace)
    if service is None:
        return
    what, name = kind(type(intent)), f"{intent.namespace}/{intent.service}"
    for port in _ports(service, intent.port):
        if why := services.opaque_reason(service, port):
            problem = (
                f"Linkerd takes port {intent.port} of Service {name} for plain TCP because of {why}:"
                f" the {what} would have no effect."
            )
            raise BadInput(f"{what}.port", problem, remedy=_REMEDY)
    for profile in _profiles(service, snapshot):
        problem = (
            f"ServiceProfile {profile['metadata']['namespace']}/{profile['metadata']['name']} rules Service"
            f" {name}: Linkerd's proxies follow it, and the {what} would have no effect."
        )
        remedy = "Move its retries and timeouts into a Route. Without routes and dstOverrides it is void."
        raise BadInput(f"{what}.service", problem, remedy=remedy)


def _ports(service: Object, number: int) -> Iterator[Mapping[str, Any]]:
    for port in service["spec"].get("ports") or ():
        if port["port"] == number:
            yield port


def _profiles(service: Object, snapshot: Snapshot) -> Iterator[Object]:
    """The ServiceProfiles that rule a Service for all its callers."""
    for profile in snapshot.of("ServiceProfile", service["metadata"]["namespace"]):
        if profile["metadata"]["name"] == services.profile_name(service) and services.is_active(profile):
            yield profile


def opaque_reason(service: Object, port: Mapping[str, Any], pods: tuple[Object, ...]) -> str:
    """Why the callers' or the servers' proxies take a port of a Service for plain TCP; empty if none does."""
    if why := services.opaque_reason(service, port):
        return why
    for pod in pods:
        target = port.get("targetPort") or port["port"]
        if any(protocols.of_pod(pod, number) == "tcp" for number in port_numbers(pod, target)):
            return f"the opaque ports of pod {pod['metadata']['name']}"
    return ""
