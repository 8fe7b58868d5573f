"""Two versions of a service behind one route, on either mesh, and what their sidecars counted."""

from __future__ import annotations

import datetime as dt
from typing import Any

from meshkit.facts import ArmCounts, ClusterRef, Finding, Snapshot
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.expected import expected
from meshkit.meshes.view import View
from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.operations.glance.facts import glance_of
from meshkit.operations.glance.model import NO_SIDECAR, Certificate, Connection, Glance, Workload
from tests.unit.checks.meshes import HEALTHY

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
CLUSTER = ClusterRef("prod", "https://prod:6443")


def deployment(name: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def service(name: str, **selector: str) -> dict[str, Any]:
    spec = {"selector": selector, "ports": [{"name": "http", "port": 8080, "appProtocol": "http"}]}
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def _istio_route(v1: int, v2: int) -> list[dict[str, Any]]:
    meta = {"name": "web", "namespace": "shop"}
    subsets = [{"name": each, "labels": {"version": each}} for each in ("v1", "v2")]
    split = [
        {"destination": {"host": "web", "subset": each}, "weight": weight}
        for each, weight in (("v1", v1), ("v2", v2))
    ]
    rule = {"host": "web", "subsets": subsets}
    routed = {"hosts": ["web"], "http": [{"route": split}]}
    return [
        {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}
        for kind, spec in (("DestinationRule", rule), ("VirtualService", routed))
    ]


def _linkerd_route(v1: int, v2: int) -> list[dict[str, Any]]:
    parent = {"group": "", "kind": "Service", "name": "web", "port": 8080}
    split = [{"name": f"web-{e}", "port": 8080, "weight": w} for e, w in (("v1", v1), ("v2", v2))]
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": split}]}
    meta = {"name": "web", "namespace": "shop"}
    api = "gateway.networking.k8s.io/v1"
    services = [service(f"web-{each}", app="web", version=each) for each in ("v1", "v2")]
    return [*services, {"apiVersion": api, "kind": "HTTPRoute", "metadata": meta, "spec": spec}]


def objects(mesh: str, v1: int = 90, v2: int = 10) -> Snapshot:
    """A healthy control plane, a shop in the mesh, and a job outside of it."""
    route = {"istio": _istio_route, "linkerd": _linkerd_route}[mesh](v1, v2)
    shop = [
        deployment("client", app="client"),
        deployment("web-v1", app="web", version="v1"),
        deployment("web-v2", app="web", version="v2"),
        service("web", app="web"),
        deployment("batch", "legacy", app="batch"),
        *route,
    ]
    plane = [each for each in HEALTHY[mesh] if each["metadata"].get("namespace") != "shop"]
    own = [each for each in plane if each["kind"] == "Namespace"]
    seen = expected([*own, *shop], registry.mesh(mesh))
    return Snapshot((*(each for each in plane if each not in own), *seen.objects))


def counts(requests: int, errors: int = 0, ms: float = 20.0) -> ArmCounts:
    good = requests - errors
    return ArmCounts(requests, errors, ((ms, good), (float("inf"), good)))


GRAPH = ServiceGraph(
    2.0,
    (
        Edge("shop/client", "shop/web-v1", "mTLS", "http", counts(180, 9)),
        Edge("shop/client", "shop/web-v2", "mTLS", "http", counts(20)),
        Edge("", "shop/web-v1", "plaintext", "http", ArmCounts(4), refused=2),
    ),
)


def glance(
    mesh: str, graph: ServiceGraph = GRAPH, findings: tuple[Finding, ...] = (), **weights: int
) -> Glance:
    row, seen = registry.mesh(mesh), objects(mesh, **weights)
    view = View(seen, mesh, NOW)
    return glance_of(view, Effective(seen, mesh, row.meaning, view.home), graph, findings)


def finding(severity: Any = "warning", where: str = "Deployment shop/web-v2") -> Finding:
    return Finding("MK0301", severity, where, "it has <one> replica.", "Run two.")


def drawn(*connections: Connection, findings: tuple[Finding, ...] = (), silent: int = 0) -> Glance:
    """A glance of these connections, made without objects."""
    names = sorted({end for each in connections for end in (each.source, each.destination)})
    names += [f"shop/silent-{number}" for number in range(silent)]
    about = {f.object.partition(" ")[2]: f for f in findings}
    workloads = tuple(
        Workload(
            name,
            "outside" if name == NO_SIDECAR else "mesh",
            requests_per_s=3.0,
            error_percent=0.5,
            findings=(about[name],) if name in about else (),
        )
        for name in names
    )
    ends = NOW + dt.timedelta(days=3, hours=5)
    held = (Certificate("ca.crt", "Secret linkerd/linkerd-identity-issuer", ends),)
    return Glance("Linkerd", CLUSTER, NOW, 2.0, workloads, connections, findings, held, sidecars=6)


def call(source: str, destination: str, lock: Any = "mutual TLS", **more: Any) -> Connection:
    return Connection(source, destination, lock, 12.0, 0.5, 20.0, 40.0, **more)
