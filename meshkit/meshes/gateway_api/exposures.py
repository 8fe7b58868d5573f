"""Plan the Gateway of an Exposure and its HTTPRoutes, as Gateway API has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Kind
from meshkit.intent.edges.exposure import Certificate, ExposedService, Exposure
from meshkit.intent.rules import whole_weights
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.meaning.matches import GROUP
from meshkit.meshes.gateway_api.routes import HTTP_ROUTE, accepted_step
from meshkit.meshes.gateway_api.rules import backend_name

GATEWAY = Kind(f"{GROUP}/v1", "Gateway")
KINDS = (GATEWAY, HTTP_ROUTE)
"""The kinds of the objects of an Exposure."""
_ISSUERS = {"ClusterIssuer": "cert-manager.io/cluster-issuer", "Issuer": "cert-manager.io/issuer"}
_PLAIN = "http"
_REDIRECT_PORT = 80


def plan(exposure: Exposure, gateway_class: str, notes: Mapping[str, str]) -> Iterator[Step]:
    """The steps of an Exposure: the Gateway, then the routes, which wait until it has accepted them.

    ``notes`` are annotations of the Gateway for its class.
    """
    yield Step(_gateway(exposure, gateway_class, notes))
    rules = [_rule(route) for route in exposure.routes]
    yield accepted_step(_route(exposure, exposure.name, _main(exposure), rules), unanswered=True)
    if exposure.redirects:
        redirect: dict[str, Any] = {"scheme": "https", "statusCode": 301}
        if exposure.listener_port != 443:
            redirect["port"] = exposure.listener_port
        to_tls = {"filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
        name = f"{exposure.name}-redirect"
        yield accepted_step(_route(exposure, name, _PLAIN, [to_tls]), unanswered=True)


def service_of(route: ExposedService, version: str) -> str:
    """The Service that gets a version's share."""
    return backend_name(route.service, version)


def _main(exposure: Exposure) -> str:
    return "https" if exposure.certificate else _PLAIN


def _gateway(exposure: Exposure, gateway_class: str, notes: Mapping[str, str]) -> dict[str, Any]:
    certificate, issuer = exposure.certificate, {}
    if certificate and certificate.issuer:
        issuer = {_ISSUERS[certificate.issuer_kind]: certificate.issuer}
    listeners = list(_listeners(exposure, _main(exposure), exposure.listener_port, certificate))
    if exposure.redirects:
        listeners += _listeners(exposure, _PLAIN, _REDIRECT_PORT, None)
    return obj(
        GATEWAY,
        exposure.name,
        exposure.namespace,
        annotations={**notes, **issuer},
        spec={"gatewayClassName": gateway_class, "listeners": listeners},
    )


def _listeners(
    exposure: Exposure, name: str, port: int, certificate: Certificate | None
) -> Iterator[dict[str, Any]]:
    """A listener for each host, since one has one host name."""
    for section, host in zip(_sections(exposure, name), exposure.hosts, strict=True):
        listener: dict[str, Any] = {"name": section, "hostname": host, "port": port}
        listener["protocol"] = "HTTPS" if certificate else "HTTP"
        if certificate:
            reference = {"group": "", "kind": "Secret", "name": certificate.secret}
            listener["tls"] = {"mode": "Terminate", "certificateRefs": [reference]}
        yield {**listener, "allowedRoutes": {"namespaces": {"from": "Same"}}}


def _sections(exposure: Exposure, name: str) -> list[str]:
    if len(exposure.hosts) == 1:
        return [name]
    return [f"{name}-{number}" for number in range(1, len(exposure.hosts) + 1)]


def _route(exposure: Exposure, name: str, section: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    gateway = {"group": GROUP, "kind": GATEWAY.kind, "name": exposure.name}
    parents = [{**gateway, "sectionName": each} for each in _sections(exposure, section)]
    spec = {"parentRefs": parents, "hostnames": list(exposure.hosts), "rules": rules}
    return obj(HTTP_ROUTE, name, exposure.namespace, spec=spec)


def _rule(route: ExposedService) -> dict[str, Any]:
    prefix = route.path.rstrip("/") or "/"
    weights = whole_weights(route.split) if route.split else {}
    backends = [(service_of(route, version), weight) for version, weight in weights.items()]
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": name, "port": route.port, "weight": weight}
            for name, weight in backends or [(route.service, 1)]
        ],
    }
