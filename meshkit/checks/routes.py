"""Routes as they stand in the cluster: does each lead to a subset, a Service and pods?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.kube.pods import is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View, finding


def check(view: View) -> Iterator[Finding]:
    """Destinations that do not exist, and rules that shadow each other."""
    if view.mesh == "istio":
        yield from _one_each(view)
        yield from _subsets(view)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for route in view.of(kind):
            yield from _backends(view, route)


def _full(host: str, namespace: str) -> str:
    return host if "." in host else f"{host}.{namespace}.svc.cluster.local"


def _one_each(view: View) -> Iterator[Finding]:
    """In sidecars two VirtualServices for one host do not merge: the older wins."""
    seen: dict[str, list[Object]] = defaultdict(list)
    for route in view.of("VirtualService"):
        gateways = route["spec"].get("gateways") or ["mesh"]
        for host in route["spec"].get("hosts") or () if "mesh" in gateways else ():
            seen[_full(host, route["metadata"]["namespace"])].append(route)
    for host, routes in seen.items():
        if len(routes) > 1:
            oldest = min(routes, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
            for route in routes:
                if route is not oldest:
                    other = f"{oldest['metadata']['namespace']}/{oldest['metadata']['name']}"
                    message = (
                        f"without effect for {host}: VirtualService {other} is older, and they do not merge."
                    )
                    yield finding("MK0206", "warning", route, message, "Put both into one VirtualService.")


def _subsets(view: View) -> Iterator[Finding]:
    defined = {
        (_full(rule["spec"]["host"], rule["metadata"]["namespace"]), subset["name"]): subset
        for rule in view.of("DestinationRule")
        for subset in rule["spec"].get("subsets") or ()
    }
    services = {_full(s["metadata"]["name"], s["metadata"]["namespace"]): s for s in view.of("Service")}
    for route in view.of("VirtualService"):
        for http in route["spec"].get("http") or ():
            for each in http.get("route") or ():
                if each.get("weight", 100):
                    yield from _destination(view, route, each["destination"], defined, services)


def _destination(
    view: View,
    route: Object,
    destination: Object,
    defined: dict[tuple[str, str], Object],
    services: dict[str, Object],
) -> Iterator[Finding]:
    host, name = _full(destination["host"], route["metadata"]["namespace"]), destination.get("subset")
    if name is None:
        return
    subset = defined.get((host, name))
    if subset is None:
        message = f"subset {name} of {host} is not defined: its share is answered 503."
        yield finding("MK0207", "error", route, message, "Define it in the DestinationRule of that host.")
        return
    service = services.get(host)
    selector = {**((service or {}).get("spec", {}).get("selector") or {}), **(subset.get("labels") or {})}
    if service is not None and not any(
        is_live(pod) and selects(selector, pod) for pod in view.of("Pod", service["metadata"]["namespace"])
    ):
        message = f"subset {name} of {host} has no pod: its share is answered 503."
        yield finding("MK0208", "error", route, message, "Deploy it, or give it no weight.")


def _backends(view: View, route: Object) -> Iterator[Finding]:
    home = route["metadata"]["namespace"]
    for rule in route["spec"].get("rules") or ():
        for backend in rule.get("backendRefs") or ():
            namespace = backend.get("namespace", home)
            if backend.get("kind", "Service") != "Service" or not backend.get("weight", 1):
                continue
            if not any(s["metadata"]["name"] == backend["name"] for s in view.of("Service", namespace)):
                message = f"there is no Service {namespace}/{backend['name']}: its share is answered 500."
                yield finding("MK0209", "error", route, message, "Create it, or give it no weight.")
    for parent in (route.get("status") or {}).get("parents") or ():
        for condition in parent.get("conditions") or ():
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                message = f"{condition['type']} is False: {condition.get('message') or condition['reason']}."
                yield finding("MK0210", "error", route, message, "Correct what it names.")
