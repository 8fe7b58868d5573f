"""Checks for competing VirtualServices of one host, and for missing destinations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find VirtualServices without effect, and destinations that are subsets without pods."""
    yield from _shadowed(view)
    yield from _subsets(view)


def _full_name(host: str, namespace: str) -> str:
    return host if "." in host else f"{host}.{namespace}.svc.cluster.local"


def _shadowed(view: View) -> Iterator[Finding]:
    """Find VirtualServices without effect: sidecars do not merge two for one host, and the older one wins."""
    by_host: dict[str, list[Object]] = defaultdict(list)
    for service in view.of("VirtualService"):
        gateways = service["spec"].get("gateways") or ["mesh"]
        for host in service["spec"].get("hosts") or () if "mesh" in gateways else ():
            by_host[_full_name(host, service["metadata"]["namespace"])].append(service)
    for host, services in by_host.items():
        oldest = min(services, key=lambda service: str(service["metadata"].get("creationTimestamp", "")))
        for service in services:
            if service is not oldest:
                message = f"it has no effect for {host}: {title(oldest)} is older, and they do not merge."
                yield codes.finding(codes.SHADOWED_VIRTUAL_SERVICE, title(service), message)


def _subsets(view: View) -> Iterator[Finding]:
    defined = {
        (_full_name(rule["spec"]["host"], rule["metadata"]["namespace"]), subset["name"]): subset
        for rule in view.of("DestinationRule")
        for subset in rule["spec"].get("subsets") or ()
    }
    services = {
        _full_name(service["metadata"]["name"], service["metadata"]["namespace"]): service
        for service in view.of("Service")
    }
    for virtual_service in view.of("VirtualService"):
        for http in virtual_service["spec"].get("http") or ():
            for route in http.get("route") or ():
                if route.get("weight", 100):
                    yield from _destination(view, virtual_service, route["destination"], defined, services)


def _destination(
    view: View,
    virtual_service: Object,
    destination: Object,
    defined: Mapping[tuple[str, str], Object],
    services: Mapping[str, Object],
) -> Iterator[Finding]:
    host = _full_name(destination["host"], virtual_service["metadata"]["namespace"])
    name = destination.get("subset")
    if name is None:
        return
    subset = defined.get((host, name))
    if subset is None:
        message = f"subset {name} of {host} is not defined: requests to it fail with 503."
        yield codes.finding(codes.SUBSET_UNDEFINED, title(virtual_service), message)
        return
    service = services.get(host)
    selector = {**((service or {}).get("spec", {}).get("selector") or {}), **(subset.get("labels") or {})}
    if service is not None and not any(
        is_live(pod) and selects(selector, pod) for pod in view.of("Pod", service["metadata"]["namespace"])
    ):
        message = f"subset {name} of {host} has no pod: requests to it fail with 503."
        yield codes.finding(codes.SUBSET_WITHOUT_PODS, title(virtual_service), message)
