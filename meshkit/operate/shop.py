"""The demo shop: a caller and three versions of a service, for the sandbox only, and the knobs they have.

The workloads are the sandbox's own images. Each listens on 8080 for traffic, which the mesh's proxy captures,
and on 9000 for control, which it does not: so a version can be slowed down, and the caller's ledger read,
whatever the mesh does. Control is reached through the API server's pod proxy, as everything is.

The caller is an open-loop load generator: it sends at the asked rate whether or not answers come, counts
latency from the time a request was due, and remembers every request. That ledger is what a release is judged
by in the end: it is kept by none of the parts that took the decision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.traffic import Route

NAMESPACE = "shop"
SERVICE = "web"
PORT = 8080
CONTROL_PORT = 9000
POD, DEPLOYMENT = Kind("v1", "Pod"), Kind("apps/v1", "Deployment")
_UNCAPTURED = {
    "traffic.sidecar.istio.io/excludeInboundPorts": str(CONTROL_PORT),
    "config.linkerd.io/skip-inbound-ports": str(CONTROL_PORT),
}
_EDGES_MS = (
    *range(5, 60, 5),
    *range(60, 120, 10),
    *range(120, 240, 20),
    250,
    300,
    350,
    400,
    450,
    500,
    600,
    800,
)
_FINE_BUCKETS = {
    "sidecar.istio.io/statsHistogramBuckets": json.dumps(
        {"istiocustom": [*_EDGES_MS, 1000, 2500, 5000, 10000]}
    )
}
"""Between Istio's own edges of 50, 100 and 250 ms a p99 could not be seen to move. Linkerd's are fixed."""


@dataclass(frozen=True)
class Behaviour:
    """How a version answers: the median and the spread (of the logarithm) of its latency, and the share of
    500s.
    """

    latency_ms: float = 30.0
    sigma: float = 0.3
    error_percent: float = 0.0


GOOD = Behaviour()
BAD = Behaviour(latency_ms=330.0, sigma=0.03, error_percent=30.0)
"""Answers 30 % of its requests with 500 and the rest 300 ms later than GOOD."""

VERSIONS: Mapping[str, Behaviour] = {"v1": GOOD, "v2": GOOD, "v3": BAD}


@dataclass(frozen=True)
class Ledger:
    """Every request the caller was due to send in a time, one entry a request. ``status`` 0 is no answer at
    all.
    """

    scheduled_s: tuple[float, ...]
    latency_ms: tuple[float, ...]
    status: tuple[int, ...]
    version: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scheduled_s)

    @property
    def failed(self) -> int:
        """Requests without an answer or with a server error."""
        return sum(1 for status in self.status if status == 0 or status >= 500)

    def median_ms(self, version: str) -> float | None:
        """The median latency of a version's successful answers, or None without any."""
        rows = zip(self.latency_ms, self.status, self.version, strict=True)
        latencies = sorted(ms for ms, status, v in rows if v == version and 0 < status < 500)
        return latencies[len(latencies) // 2] if latencies else None

    def harmed(self, *, slower_than_ms: float) -> int:
        """Requests that failed, or took longer than that."""
        rows = zip(self.latency_ms, self.status, strict=True)
        return sum(1 for ms, status in rows if status == 0 or status >= 500 or ms > slower_than_ms)


def shop_objects(*, rps: float = 200.0, versions: Mapping[str, Behaviour] = VERSIONS) -> tuple[Object, ...]:
    """The shop's manifests: namespace, accounts, service, two pods of each version, and one caller at
    ``rps``.
    """
    load = {"TARGET": f"http://{SERVICE}.{NAMESPACE}:{PORT}/", "RATE": f"{rps:g}"}
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _object("v1", "ServiceAccount", SERVICE),
        _object("v1", "ServiceAccount", "client"),
        _object(
            "v1",
            "Service",
            SERVICE,
            spec={
                "selector": {"app": SERVICE},
                "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "appProtocol": "http"}],
            },
        ),
        *(_web(version, behaviour) for version, behaviour in versions.items()),
        _deployment(
            "client",
            "load",
            {"app": "client"},
            account="client",
            replicas=1,
            env=load,
            ports={"control": 9000},
        ),
    )


def deploy_shop(
    cluster: Cluster,
    *,
    rps: float = 200.0,
    versions: Mapping[str, Behaviour] = VERSIONS,
    timeout_s: float = 60.0,
) -> None:
    """Create or update the shop and wait until all its pods are ready. TimedOut when they are not in time."""
    objects = shop_objects(rps=rps, versions=versions)
    for obj in objects:
        cluster.api.apply(obj)
    wait_for_shop(
        cluster,
        timeout_s=timeout_s,
        deployments=[o["metadata"]["name"] for o in objects if o["kind"] == "Deployment"],
    )


def wait_for_shop(cluster: Cluster, *, timeout_s: float = 60.0, deployments: list[str]) -> None:
    """Wait until every deployment of the shop has rolled out."""
    for name in deployments:
        cluster.api.wait(DEPLOYMENT, name, NAMESPACE, _rolled_out, timeout_s, "rolled out")


def shop_route(*versions: str) -> Route:
    """The shop's route as an intent: every request goes to the first version, none to the others."""
    from meshkit.intent.traffic import Route, Version

    return Route(
        namespace=NAMESPACE,
        service=SERVICE,
        port=PORT,
        versions=tuple(Version(name=version) for version in versions),
        split={version: 100.0 if version == versions[0] else 0.0 for version in versions},
    )


def route_shop(cluster: Cluster, *versions: str, mesh: str) -> Route:
    """Give the shop its route and return it. A route that is there already is left as it is, whatever its
    weights.
    """
    from meshkit.intent.release import Release
    from meshkit.operate.canary_route import route_object
    from meshkit.operate.change import apply, plan

    route = shop_route(*versions)
    release = Release(
        name=SERVICE, namespace=NAMESPACE, service=SERVICE, port=PORT, stable=versions[0], canary=versions[1]
    )
    place = route_object(mesh, release)
    if cluster.api.get(place.kind, place.name, place.namespace) is None:
        apply(plan([route], cluster, mesh=mesh), cluster)
    return route


def set_load(cluster: Cluster, rps: float) -> None:
    """Let the caller send ``rps`` requests a second from now on."""
    _control(cluster, "app=client", "/-/rate", {"rps": rps})


def set_behaviour(cluster: Cluster, version: str, behaviour: Behaviour) -> None:
    """Change how every pod of a version answers, from now on and until that pod restarts."""
    body = {
        "latency_ms": behaviour.latency_ms,
        "sigma": behaviour.sigma,
        "error_percent": behaviour.error_percent,
    }
    _control(cluster, f"app={SERVICE},version={version}", "/-/behaviour", body)


def read_ledger(cluster: Cluster, since_s: float, until_s: float) -> Ledger:
    """What the caller recorded between two times (seconds since the epoch)."""
    pod = _pods(cluster, "app=client")[0]
    path = f"/-/requests?since={since_s:.6f}&until={until_s:.6f}"
    found = json.loads(cluster.api.pod_get(NAMESPACE, pod, CONTROL_PORT, path))
    return Ledger(**{name: tuple(found[name]) for name in ("scheduled_s", "latency_ms", "status", "version")})


def _control(cluster: Cluster, selector: str, path: str, body: Mapping[str, float]) -> None:
    for pod in _pods(cluster, selector):
        cluster.api.pod_put(NAMESPACE, pod, CONTROL_PORT, path, json.dumps(body))


def _pods(cluster: Cluster, selector: str) -> list[str]:
    """The running pods behind a selector, none of them on its way out."""
    found = [
        pod["metadata"]["name"]
        for pod in cluster.api.list(POD, NAMESPACE, selector)
        if pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    if not found:
        raise BadInput(
            "shop", f"no pod with {selector} runs in {NAMESPACE}.", remedy="Deploy it with mk.deploy_shop."
        )
    return sorted(found)


def _rolled_out(obj: Object | None) -> bool:
    if obj is None:
        return False
    wanted, status = obj["spec"].get("replicas", 1), obj.get("status", {})
    current = status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    return bool(
        current
        and status.get("updatedReplicas", 0)
        == status.get("availableReplicas", 0)
        == status.get("replicas", 0)
        == wanted
    )


def _web(version: str, behaviour: Behaviour) -> Object:
    env = {
        "VERSION": version,
        "LATENCY_MS": f"{behaviour.latency_ms:g}",
        "LATENCY_SIGMA": f"{behaviour.sigma:g}",
        "ERROR_PERCENT": f"{behaviour.error_percent:g}",
    }
    labels = {"app": SERVICE, "version": version}
    ports = {"http": PORT, "control": CONTROL_PORT}
    return _deployment(
        f"{SERVICE}-{version}", "web", labels, account=SERVICE, replicas=2, env=env, ports=ports
    )


def _deployment(
    name: str,
    image: str,
    labels: Mapping[str, str],
    *,
    account: str,
    replicas: int,
    env: Mapping[str, str],
    ports: Mapping[str, int],
) -> Object:
    container = {
        "name": image,
        "image": f"meshkit.dev/sandbox/{image}:1",
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"name": key, "containerPort": port} for key, port in ports.items()],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": CONTROL_PORT}, "periodSeconds": 1},
    }
    pod = {
        "metadata": {"labels": dict(labels), "annotations": {**_UNCAPTURED, **_FINE_BUCKETS}},
        "spec": {"serviceAccountName": account, "containers": [container]},
    }
    return _object(
        "apps/v1",
        "Deployment",
        name,
        labels=labels,
        spec={"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": pod},
    )


def _object(
    api_version: str,
    kind: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    spec: dict[str, Any] | None = None,
) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
    if labels:
        metadata["labels"] = dict(labels)
    obj: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return {**obj, "spec": spec} if spec else obj
