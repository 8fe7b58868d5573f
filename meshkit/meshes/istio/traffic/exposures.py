"""Plan the Gateway of an Exposure, for which istiod runs Envoy pods, and find what it would not do."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Need, Object, Snapshot
from meshkit.intent.edges.exposure import ExposedService, Exposure
from meshkit.kube.kinds import CUSTOM_RESOURCE_DEFINITION, SERVICE
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api import exposures
from meshkit.meshes.gateway_api.definitions import missing
from meshkit.meshes.gateway_api.meaning.routes import attached
from meshkit.meshes.gateway_api.routes import HTTP_ROUTE
from meshkit.meshes.istio.traffic.routes import VIRTUAL_SERVICE
from meshkit.meshes.model.hosts import full_host, host_of
from meshkit.meshes.routing.capabilities import Limits

LIMITS: Limits = {}
"""Istio carries out every field of an Exposure."""
_CLASS = "istio"
_SERVICE_TYPE = "networking.istio.io/service-type"


def needs(exposure: Exposure) -> tuple[Need, ...]:
    """The objects that the checks read."""
    routes = (VIRTUAL_SERVICE, HTTP_ROUTE)
    return (
        Need(SERVICE, exposure.namespace),
        Need(CUSTOM_RESOURCE_DEFINITION, optional=True),
        *(Need(kind, exposure.namespace, optional=True) for kind in routes),
    )


def plan(exposure: Exposure) -> tuple[Step, ...]:
    """The steps of an Exposure."""
    notes = {} if exposure.service == "LoadBalancer" else {_SERVICE_TYPE: exposure.service}
    return tuple(exposures.plan(exposure, _CLASS, notes))


def findings(exposure: Exposure, snapshot: Snapshot) -> Iterator[Finding]:
    """Find what is not there, definitions and Services, and routes that requests from outside pass by."""
    if lacking := missing(exposures.KINDS, snapshot):
        message = f"the cluster does not serve {' and '.join(lacking)}."
        yield codes.finding(codes.EXPOSURE_LACKS_GATEWAY_API, "exposure", message)
    for index, route in enumerate(exposure.routes):
        where = f"exposure.routes[{index}]"
        services = [exposures.service_of(route, version) for version in route.split or ()]
        for name in services or [route.service]:
            field = f"{where}.split" if route.split else f"{where}.service"
            yield from _missing(exposure, route, name, field, snapshot)
        if not route.split:
            yield from _passed(exposure, route, where, snapshot)
    if exposure.certificate:
        yield codes.finding(codes.CERTIFICATE_UNSEEN, "exposure.certificate", _of_certificate(exposure))
    else:
        message = f"callers of {', '.join(exposure.hosts)} send everything in plain text."
        yield codes.finding(codes.EXPOSED_IN_PLAIN_TEXT, "exposure.certificate", message)


def _missing(
    exposure: Exposure, route: ExposedService, name: str, field: str, snapshot: Snapshot
) -> Iterator[Finding]:
    service = snapshot.find(SERVICE.kind, name, exposure.namespace)
    if service is None:
        message = f"there is no Service {exposure.namespace}/{name}."
        remedy = "Plan a Route with api: gateway and these versions first." if route.split else ""
        yield codes.finding(codes.EXPOSED_WITHOUT_SERVICE, field, message, remedy)
    elif route.port not in (ports := [int(port["port"]) for port in service["spec"].get("ports") or ()]):
        message = f"Service {exposure.namespace}/{name} has no port {route.port}."
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}."
        field = f"{field.rpartition('.')[0]}.port"
        yield codes.finding(codes.EXPOSED_WITHOUT_SERVICE, field, message, remedy)


def _passed(exposure: Exposure, route: ExposedService, where: str, snapshot: Snapshot) -> Iterator[Finding]:
    """The routes of the mesh for a Service, which a gateway does not follow."""
    service = snapshot.find(SERVICE.kind, route.service, exposure.namespace)
    for each in _routes(service, route.port, snapshot) if service else ():
        message = (
            f"{title(each)} is for callers in the mesh: requests from outside go to all pods of Service"
            f" {exposure.namespace}/{route.service}, whatever its rules and a release say."
        )
        yield codes.finding(codes.EDGE_PASSES_ROUTES, f"{where}.service", message)


def _routes(service: Object, port: int, snapshot: Snapshot) -> Iterator[Object]:
    namespace = service["metadata"]["namespace"]
    for each in snapshot.of(VIRTUAL_SERVICE.kind, namespace):
        hosts = (full_host(str(host).lower(), namespace) for host in each["spec"].get("hosts") or ())
        if host_of(service) in hosts:
            yield each
    for each in snapshot.of(HTTP_ROUTE.kind, namespace):
        if attached(each, service, port):
            yield each


def _of_certificate(exposure: Exposure) -> str:
    certificate = exposure.certificate
    if certificate is None:
        return ""
    secret = f"Secret {exposure.namespace}/{certificate.secret}"
    if certificate.issuer:
        kind = f"{certificate.issuer_kind} {certificate.issuer}"
        return f"cert-manager is to write {secret} by {kind}; whether it does is not looked at."
    return f"the gateway shows the certificate of {secret}, which is not read."
