"""Does a route lead anywhere? A version without pods answers 503 for its whole share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit.facts import Finding, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.selectors import selects


def check(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    """What stands against a route in this cluster."""
    service = snapshot.find("Service", route.service, route.namespace)
    where = f"{route.namespace}/{route.service}"
    if service is None:
        remedy = "Create it, or correct namespace and service."
        yield Finding("MK0201", "error", "route.service", f"there is no Service {where}.", remedy)
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if route.port not in ports:
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}."
        yield Finding("MK0202", "error", "route.port", f"Service {where} has no port {route.port}.", remedy)
    yield from _versions(route, snapshot)
    yield from _rivals(route, snapshot)


def _versions(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    pods = [pod for pod in snapshot.of("Pod", route.namespace) if "deletionTimestamp" not in pod["metadata"]]
    used = {name for name, weight in route.split.items() if weight} | {m.version for m in route.matches}
    for i, version in enumerate(route.versions):
        labels = {**route.pod_selector(), **version.pod_labels()}
        if not any(selects(labels, pod) for pod in pods):
            listed = ", ".join(f"{key}={value}" for key, value in labels.items())
            yield Finding(
                "MK0203",
                "error" if version.name in used else "warning",
                f"route.versions[{i}]",
                f"version {version.name} does not exist: no pod in {route.namespace} carries {listed}.",
                "Deploy it, correct its labels, or give it no weight.",
            )


def _rivals(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    """Two VirtualServices for one host do not merge in sidecars: the older wins, the other is dropped."""
    short, full = route.service, f"{route.service}.{route.namespace}.svc.cluster.local"
    for rival in snapshot.of("VirtualService", route.namespace):
        name, hosts = rival["metadata"]["name"], (rival.get("spec") or {}).get("hosts") or ()
        if name != route.service and ({short, full} & set(hosts)):
            yield Finding(
                "MK0204",
                "error",
                "route.service",
                f"VirtualService {route.namespace}/{name} already routes {short}, and two do not merge.",
                "Delete that one, or release through it instead of a route of meshkit's.",
            )


def one_route_each(routes: Sequence[Route]) -> Iterator[Finding]:
    """Two routes of one plan for one Service would overwrite each other."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        key = (route.namespace, route.service)
        if key in seen:
            message = f"Service {route.namespace}/{route.service} has two routes in this plan."
            yield Finding("MK0205", "error", "route.service", message, "Put all its versions into one route.")
        seen.add(key)
