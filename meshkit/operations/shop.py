"""The demo shop of the sandbox: a caller, three versions of the service ``web``, and ``stock``.

``web`` calls ``stock`` for every path under ``/order``. Optionally, a second caller runs in a namespace
without a mesh, as an example of a forgotten batch job that strict mutual TLS would cut off.

The workloads use the sandbox's own images. Each listens on 8080 for traffic, which the mesh's proxy captures,
and on 9000 for control, which it does not. So a version can be slowed and the caller's ledger read
independently of the mesh. Control requests use the API server's pod proxy.

The caller is an open-loop load generator: it sends at a fixed rate whether or not responses arrive, measures
latency from the time at which a request was due, and records every request. This ledger is the independent
reference for a release's verdict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.traffic import Route

NAMESPACE = "shop"
SERVICE = "web"
DEPENDENCY = "stock"
CLIENT = "client"
UNMESHED_NAMESPACE, UNMESHED = "legacy", "batch"
"""Namespace and name of the caller without a sidecar. Injection into that namespace adds it to the mesh."""
UNMESHED_RPS = 2.0
PATHS = {"/": 9, "/order": 1}
"""The caller's paths by weight: a tenth of the requests need the dependency."""
PORT = 8080
CONTROL_PORT = 9000
BEHAVIOUR_PORT = "meshkit.dev/behaviour-port"
"""The annotation of a pod that names the port where its latency and its share of errors can be set."""
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
"""Istio's default edges of 50, 100 and 250 ms are too coarse to show a change of p99. Linkerd's are fixed."""


@dataclass(frozen=True)
class Behaviour:
    """How a version responds: median and spread (of the logarithm) of its latency, and its share of 500s."""

    latency_ms: float = 30.0
    sigma: float = 0.3
    error_percent: float = 0.0


GOOD = Behaviour()
BAD = Behaviour(latency_ms=330.0, sigma=0.03, error_percent=30.0)
"""Answers 30 % of its requests with 500 and the rest 300 ms later than GOOD."""

QUICK = Behaviour(latency_ms=4.0)
"""The normal behaviour of the dependency."""

VERSIONS: Mapping[str, Behaviour] = {"v1": GOOD, "v2": GOOD, "v3": BAD}


@dataclass(frozen=True)
class Ledger:
    """All requests that the caller was due to send in a period, one entry each; ``status`` 0 means no
    response.
    """

    scheduled_s: tuple[float, ...]
    latency_ms: tuple[float, ...]
    status: tuple[int, ...]
    version: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scheduled_s)

    @property
    def failed(self) -> int:
        """The number of requests without a response or with a server error."""
        return sum(1 for status in self.status if status == 0 or status >= 500)

    def median_ms(self, version: str) -> float | None:
        """The median latency of a version's successful answers, or None without any."""
        rows = zip(self.latency_ms, self.status, self.version, strict=True)
        latencies = sorted(ms for ms, status, v in rows if v == version and 0 < status < 500)
        return latencies[len(latencies) // 2] if latencies else None

    def harmed(self, version: str, *, slower_than_ms: float) -> int:
        """The number of requests that failed, or that ``version`` answered after more than the limit."""
        rows = zip(self.latency_ms, self.status, self.version, strict=True)
        return sum(
            status == 0 or status >= 500 or (answered == version and ms > slower_than_ms)
            for ms, status, answered in rows
        )

    def late(self, version: str, *, than_ms: float) -> tuple[int, int]:
        """How many answers of a version took longer than the limit, and how many it gave."""
        answers = [
            ms for ms, answered in zip(self.latency_ms, self.version, strict=True) if answered == version
        ]
        return sum(ms > than_ms for ms in answers), len(answers)

    def stalled(self, version: str, beside: str, *, than_ms: float) -> bool:
        """Whether a version answered late at least three times, and twice as often as the one beside it.

        For two versions whose programs are equally fast, the pods or proxies of one stood still for a moment,
        as on a busy machine.
        """
        late, answers = self.late(version, than_ms=than_ms)
        usual, others = self.late(beside, than_ms=than_ms)
        return late >= 3 and late * others > 2 * usual * answers


def shop_objects(
    *, rps: float = 100.0, versions: Mapping[str, Behaviour] = VERSIONS, unmeshed: bool = False
) -> tuple[Object, ...]:
    """Build the shop's manifests, with one caller at ``rps``.

    They are: namespace, accounts, services, and two pods of each version and of the dependency. ``unmeshed``
    adds a second caller in its own namespace.
    """
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *(_object("v1", "ServiceAccount", name) for name in (SERVICE, DEPENDENCY, CLIENT)),
        *(_service(name) for name in (SERVICE, DEPENDENCY)),
        *(_web(version, behaviour) for version, behaviour in versions.items()),
        _stock(),
        _caller(CLIENT, NAMESPACE, rps),
        *(_unmeshed_objects() if unmeshed else ()),
    )


def deploy_shop(
    cluster: Cluster,
    *,
    rps: float = 100.0,
    versions: Mapping[str, Behaviour] = VERSIONS,
    unmeshed: bool = False,
    timeout_s: float = ROLLOUT_TIMEOUT_S,
) -> None:
    """Create or update the shop and wait until all its pods are ready; raise ``TimedOut`` otherwise.

    ``unmeshed`` adds a caller in the namespace ``legacy``, which has no sidecar until injection is enabled
    there: strict mutual TLS refuses it.
    """
    objects = shop_objects(rps=rps, versions=versions, unmeshed=unmeshed)
    for obj in objects:
        cluster.api.apply(obj)
    wait_for_shop(
        cluster,
        timeout_s=timeout_s,
        deployments=[
            (o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if o["kind"] == "Deployment"
        ],
    )


def wait_for_shop(
    cluster: Cluster, *, timeout_s: float = ROLLOUT_TIMEOUT_S, deployments: list[tuple[str, str]]
) -> None:
    """Wait until every deployment (namespace, name) of the shop has rolled out."""
    for namespace, name in deployments:
        cluster.api.wait(DEPLOYMENT, name, namespace, _rolled_out, timeout_s, "rolled out")


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


def route_shop(cluster: Cluster, *versions: str, mesh: str | None = None) -> Route:
    """Create the shop's route and return it; an existing route stays as it is, whatever its weights."""
    from meshkit.intent.release import Release
    from meshkit.operations.change import apply, plan
    from meshkit.operations.release.route import route_object
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh)
    route = shop_route(*versions)
    release = Release(
        name=SERVICE, namespace=NAMESPACE, service=SERVICE, port=PORT, stable=versions[0], canary=versions[1]
    )
    place = route_object(mesh, release)
    if cluster.api.get(place.kind, place.name, place.namespace) is None:
        apply(plan([route], cluster, mesh=mesh), cluster)
    return route


def set_load(cluster: Cluster, rps: float) -> None:
    """Set the caller's rate to ``rps`` requests per second."""
    _control(cluster, NAMESPACE, f"app={CLIENT}", "/-/rate", {"rps": rps})


def read_load(cluster: Cluster) -> float:
    """The caller's rate in requests per second."""
    pod = _pods(cluster, NAMESPACE, f"app={CLIENT}")[0]
    return float(json.loads(cluster.api.pod_get(NAMESPACE, pod, CONTROL_PORT, "/-/rate"))["rps"])


def set_behaviour(cluster: Cluster, version: str, behaviour: Behaviour) -> None:
    """Set how every pod of a version of ``web`` responds, until that pod restarts."""
    body = {
        "latency_ms": behaviour.latency_ms,
        "sigma": behaviour.sigma,
        "error_percent": behaviour.error_percent,
    }
    _control(cluster, NAMESPACE, f"app={SERVICE},version={version}", "/-/behaviour", body)


def read_ledger(
    cluster: Cluster, since_s: float, until_s: float, *, caller: tuple[str, str] = (NAMESPACE, CLIENT)
) -> Ledger:
    """Read what a caller (namespace, name) recorded between two times (seconds since the epoch)."""
    namespace, name = caller
    pod = _pods(cluster, namespace, f"app={name}")[0]
    path = f"/-/requests?since={since_s:.6f}&until={until_s:.6f}"
    entries = json.loads(cluster.api.pod_get(namespace, pod, CONTROL_PORT, path))
    return Ledger(
        **{name: tuple(entries[name]) for name in ("scheduled_s", "latency_ms", "status", "version")}
    )


def _control(cluster: Cluster, namespace: str, selector: str, path: str, body: Mapping[str, float]) -> None:
    for pod in _pods(cluster, namespace, selector):
        cluster.api.pod_put(namespace, pod, CONTROL_PORT, path, json.dumps(body))


def _pods(cluster: Cluster, namespace: str, selector: str) -> list[str]:
    """The running pods of a selector, without those that are terminating."""
    names = [
        pod["metadata"]["name"]
        for pod in cluster.api.list(POD, namespace, selector)
        if pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    if not names:
        raise BadInput(
            "shop", f"no pod with {selector} runs in {namespace}.", remedy="Deploy it with mk.deploy_shop."
        )
    return sorted(names)


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


def _service(name: str) -> Object:
    ports = [{"name": "http", "port": PORT, "targetPort": PORT, "appProtocol": "http"}]
    return _object("v1", "Service", name, spec={"selector": {"app": name}, "ports": ports})


def _web(version: str, behaviour: Behaviour) -> Object:
    dependency = {"DEPENDENCY": f"http://{DEPENDENCY}.{NAMESPACE}:{PORT}/", "DEPENDENCY_PATHS": "/order"}
    labels = {"app": SERVICE, "version": version}
    return _server(f"{SERVICE}-{version}", SERVICE, labels, {**_answering(version, behaviour), **dependency})


def _stock() -> Object:
    return _server(DEPENDENCY, DEPENDENCY, {"app": DEPENDENCY, "version": "v1"}, _answering("v1", QUICK))


def _answering(version: str, behaviour: Behaviour) -> dict[str, str]:
    return {
        "VERSION": version,
        "LATENCY_MS": f"{behaviour.latency_ms:g}",
        "LATENCY_SIGMA": f"{behaviour.sigma:g}",
        "ERROR_PERCENT": f"{behaviour.error_percent:g}",
    }


def _server(name: str, account: str, labels: Mapping[str, str], env: Mapping[str, str]) -> Object:
    ports = {"http": PORT, "control": CONTROL_PORT}
    annotations = {BEHAVIOUR_PORT: str(CONTROL_PORT)}
    return _deployment(
        name, "web", labels, account=account, replicas=2, env=env, ports=ports, annotations=annotations
    )


def _caller(name: str, namespace: str, rps: float) -> Object:
    target = {"TARGET": f"http://{SERVICE}.{NAMESPACE}:{PORT}/", "PATHS": json.dumps(PATHS)}
    return _deployment(
        name,
        "load",
        {"app": name},
        account=name,
        replicas=1,
        env={**target, "RATE": f"{rps:g}"},
        ports={"control": CONTROL_PORT},
        annotations={},
        namespace=namespace,
    )


def _unmeshed_objects() -> tuple[Object, ...]:
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": UNMESHED_NAMESPACE}},
        _object("v1", "ServiceAccount", UNMESHED, namespace=UNMESHED_NAMESPACE),
        _caller(UNMESHED, UNMESHED_NAMESPACE, UNMESHED_RPS),
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
    annotations: Mapping[str, str],
    namespace: str = NAMESPACE,
) -> Object:
    container = {
        "name": image,
        "image": f"meshkit.dev/sandbox/{image}:1",
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"name": key, "containerPort": port} for key, port in ports.items()],
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": CONTROL_PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
    }
    pod = {
        "metadata": {"labels": dict(labels), "annotations": {**_UNCAPTURED, **_FINE_BUCKETS, **annotations}},
        "spec": {"serviceAccountName": account, "containers": [container]},
    }
    return _object(
        "apps/v1",
        "Deployment",
        name,
        namespace=namespace,
        labels=labels,
        spec={"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": pod},
    )


def _object(
    api_version: str,
    kind: str,
    name: str,
    *,
    namespace: str = NAMESPACE,
    labels: Mapping[str, str] | None = None,
    spec: dict[str, Any] | None = None,
) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    obj: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return {**obj, "spec": spec} if spec else obj
