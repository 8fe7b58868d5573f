"""Checks that a planned route leads to pods, as requests to a version without pods fail with 503."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding, Severity, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.selectors import selected_pods


def check(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    """Find Services, ports and versions of a route that the cluster does not have."""
    service = snapshot.find("Service", route.service, route.namespace)
    name = f"{route.namespace}/{route.service}"
    if service is None:
        message = f"there is no Service {name}."
        yield codes.finding(codes.ROUTE_WITHOUT_SERVICE, "route.service", message)
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if route.port not in ports:
        message = f"Service {name} has no port {route.port}."
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}."
        yield codes.finding(codes.ROUTE_TO_UNKNOWN_PORT, "route.port", message, remedy)
    yield from _versions(route, snapshot)


def _versions(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    used = route.used_versions()
    for i, version in enumerate(route.versions):
        labels = {**route.pod_selector(), **version.pod_labels()}
        pods = selected_pods(labels, route.namespace, snapshot)
        if all("deletionTimestamp" in pod["metadata"] for pod in pods):
            listed = ", ".join(f"{key}={value}" for key, value in labels.items())
            message = f"version {version.name} does not exist: no pod in {route.namespace} carries {listed}."
            severity: Severity = "error" if version.name in used else "warning"
            where = f"route.versions[{i}]"
            yield codes.finding(codes.ROUTE_TO_MISSING_VERSION, where, message, severity=severity)


def one_route_each(routes: Sequence[Route]) -> Iterator[Finding]:
    """Find ports with two routes in one plan, of which the second would overwrite the first."""
    seen: set[tuple[str, str, int]] = set()
    for route in routes:
        key = (route.namespace, route.service, route.port)
        if key in seen:
            message = f"port {route.port} of {route.namespace}/{route.service} has two routes in this plan."
            yield codes.finding(codes.TWO_ROUTES_FOR_ONE_SERVICE, "route.service", message)
        seen.add(key)
