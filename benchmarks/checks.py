"""The time of all checks on a large mesh that was read before: 10,000 objects in a hundred namespaces."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from benchmarks.figure import Figure
from meshkit.checks.health import findings
from meshkit.facts import Object, Snapshot
from meshkit.meshes.view import View

RUNS = 5
NAMESPACES, SERVICES, PODS = 100, 10, 6
"""Namespaces, services in each, and pods behind each; a service is four objects more."""
OPAQUE = {"config.linkerd.io/opaque-ports": "8080"}
NETWORKS = "192.168.0.0/16,172.16.0.0/12,100.64.0.0/10,10.0.0.0/8,fd00::/8"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def measure() -> list[Figure]:
    for mesh in ("istio", "linkerd"):
        assert findings(View(_world(mesh), mesh, NOW)), "a mesh of which nothing can be said"
    return [_figure(mesh) for mesh in ("istio", "linkerd")]


def _figure(mesh: str) -> Figure:
    world, spent = _world(mesh), []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        findings(View(world, mesh, NOW))
        spent.append(time.perf_counter() - began_s)
    return Figure(f"checks of {len(world.objects):,} objects, {mesh}", "s", tuple(spent), 2.0)


def _world(mesh: str) -> Snapshot:
    objects = list(_control_plane(mesh))
    for number in range(NAMESPACES):
        namespace = f"team-{number}"
        objects.append(_object("v1", "Namespace", namespace, None, labels=_injected(mesh)))
        for service in range(SERVICES):
            objects += _service(mesh, namespace, f"service-{service}")
    return Snapshot(tuple(objects))


def _injected(mesh: str) -> dict[str, str]:
    return {"istio-injection": "enabled"} if mesh == "istio" else {}


def _control_plane(mesh: str) -> tuple[Object, ...]:
    """As much of one as tells the checks that it is there."""
    home, label, name = {
        "istio": ("istio-system", "app", "istiod"),
        "linkerd": ("linkerd", "linkerd.io/control-plane-component", "destination"),
    }[mesh]
    labels = {label: name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "i:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return (
        _object("v1", "Namespace", home, None),
        _object("v1", "ConfigMap", "linkerd-config", home, data={"values": f"clusterNetworks: {NETWORKS}"}),
        _object("apps/v1", "Deployment", name, home, labels=labels, spec=spec),
        *(_pod(f"{name}-{n}", home, labels, f"node-{n}", "app") for n in range(3)),
        *(
            _object("v1", "Node", f"node-{n}", None, labels={"topology.kubernetes.io/zone": f"zone-{n}"})
            for n in range(3)
        ),
    )


def _service(mesh: str, namespace: str, name: str) -> list[Object]:
    labels, proxy = {"app": name}, "istio-proxy" if mesh == "istio" else "linkerd-proxy"
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "i:1"}]}}
    workload = {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template}
    routed = {"hosts": [name], "http": [{"route": [{"destination": {"host": name}}]}]}
    rule = {"host": name, "trafficPolicy": {"connectionPool": {"http": {"http2MaxRequests": 100}}}}
    api = "networking.istio.io/v1"
    return [
        _object("v1", "Service", name, namespace, spec={"selector": labels, "ports": ports}),
        _object("apps/v1", "Deployment", name, namespace, spec=workload),
        _object(api, "VirtualService", name, namespace, spec=routed),
        _object(api, "DestinationRule", name, namespace, spec=rule),
        *(_pod(f"{name}-{n}", namespace, labels, f"node-{n % 3}", "app", proxy) for n in range(PODS)),
    ]


def _pod(name: str, namespace: str, labels: dict[str, str], node: str, *containers: str) -> Object:
    spec = {"nodeName": node, "containers": [{"name": each, "image": "i:1"} for each in containers]}
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "podIP": "10.1.2.3", "conditions": [ready]}
    pod = _object("v1", "Pod", name, namespace, labels=labels, spec=spec, status=status)
    return {**pod, "metadata": {**pod["metadata"], "annotations": OPAQUE}}


def _object(
    api: str, kind: str, name: str, namespace: str | None, labels: dict[str, str] | None = None, **parts: Any
) -> Object:
    meta: dict[str, Any] = {"name": name, "uid": f"{namespace}/{kind}/{name}", "labels": labels or {}}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **parts}
