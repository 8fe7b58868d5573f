"""Plan the Service of each version of a Route, which Gateway API needs because it has no subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route, Version
from meshkit.kube import manifests
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import labels
from meshkit.meshes.gateway_api.rules import backend_name

VERSION_OF = "meshkit.dev/version-of"
"""The label of a version's Service, with the Service that clients name."""
PORT_FIELDS = ("name", "targetPort", "appProtocol", "protocol")
"""What a port of a version's Service takes from the Service that clients name, besides its number."""


def version_service(
    route: Route, version: Version, snapshot: Snapshot, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The Service of one version: the ports of the Service that clients name, its pods only.

    Ports that another Route gave it stay.
    """
    name = backend_name(route.service, version.name)
    selector = {**route.pod_selector(), **version.pod_labels()}
    port = _port(route, snapshot)
    backend = {**port, "port": route.port, "protocol": port.get("protocol", "TCP")}
    ports = sorted([*_other_ports(name, route, snapshot), backend], key=lambda each: int(each["port"]))
    return service_of(route.service, name, route.namespace, selector, ports, annotations)


def service_of(
    service: str,
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    ports: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The Service of a version of ``service``; of its ports, what PORT_FIELDS and their numbers say."""
    return manifests.obj(
        SERVICE,
        name,
        namespace,
        labels={VERSION_OF: service},
        annotations=annotations,
        spec={"selector": selector, "ports": [_copied(port, (*PORT_FIELDS, "port")) for port in ports]},
    )


def _other_ports(name: str, route: Route, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The other ports of a version's Service that meshkit made."""
    present = snapshot.find(SERVICE.kind, name, route.namespace)
    if present is None or labels(present).get(VERSION_OF) != route.service:
        return []
    return [port for port in present["spec"].get("ports") or () if port["port"] != route.port]


def _port(route: Route, snapshot: Snapshot) -> dict[str, Any]:
    """The port of the Service that clients name, so that a version's Service is read by the same protocol."""
    service = snapshot.find("Service", route.service, route.namespace)
    ports: Sequence[dict[str, Any]] = service["spec"].get("ports", ()) if service else ()
    found = next(
        (port for port in ports if port["port"] == route.port), {"name": "http", "targetPort": route.port}
    )
    return _copied(found, PORT_FIELDS)


def _copied(port: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in port.items() if key in keys}
