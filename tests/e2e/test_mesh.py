"""Both meshes on the sandbox: the control plane's pods *are* the injector and the configuration writer.

Takes about 30 s for each mesh: it starts a whole shop with its proxies, takes control planes away, and waits.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.connect import connect
from meshkit.facts import Kind, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import HeaderMatch, Route, Version
from meshkit.meshes.definitions import crds
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import planner as linkerd
from meshkit.observe.graph import ServiceGraph, service_graph
from meshkit.operations import change, shop
from meshkit.operations.undo import undo
from meshkit.sandbox import lifecycle
from meshkit.sandbox.home import SandboxHome
from meshkit.testing import Sandbox, running_sandbox
from tests.chance import usual
from tests.cluster import inventory

POD, DEPLOYMENT, EVENT = Kind("v1", "Pod"), Kind("apps/v1", "Deployment"), Kind("v1", "Event")
LEASE = Kind("coordination.k8s.io/v1", "Lease")
VERSIONS = {"v1": shop.Behaviour(latency_ms=5), "v2": shop.Behaviour(latency_ms=5)}
NAMESPACE_OF = {"istio": "istio-system", "linkerd": "linkerd"}
LEASE_OF = {"istio": "istio-gateway-deployment-default", "linkerd": "linkerd-destination"}
CONTROL_PLANE = {"istio": ("istiod",), "linkerd": ("linkerd-destination", "linkerd-proxy-injector")}
MESHES = {"istio": istio.PLANNER, "linkerd": linkerd.PLANNER}
ROUTE = {
    "istio": Kind("networking.istio.io/v1", "VirtualService"),
    "linkerd": Kind("gateway.networking.k8s.io/v1", "HTTPRoute"),
}
WEB = "http://web.shop:8080/"
METRICS = {"istio": (15020, "/stats/prometheus"), "linkerd": (4191, "/metrics")}


class Shop:
    """The shop of one mesh, and what tests do with it."""

    def __init__(self, sandbox: Sandbox, mesh: str) -> None:
        self.home = SandboxHome(sandbox.home)
        self.cluster, self.mesh = connect(kubeconfig=sandbox.kubeconfig), mesh
        self.api = self.cluster.api
        self.control_namespace = NAMESPACE_OF[mesh]

    def make(self, *intents: Intent) -> None:
        change.apply(change.plan(intents, self.cluster, mesh=self.mesh), self.cluster)

    def route(self, v1: float, *matches: HeaderMatch) -> Route:
        versions = (Version(name="v1"), Version(name="v2"))
        split = {"v1": v1, "v2": 100 - v1}
        place = {"namespace": "shop", "service": "web", "port": 8080}
        return Route(**place, versions=versions, split=split, matches=matches)

    def weigh(self, v1: float, *matches: HeaderMatch) -> None:
        """Write the route's weights, v1 getting this percentage."""
        *_, step = MESHES[self.mesh].plan(self.route(v1, *matches), Snapshot())
        self.api.apply(step.object, force=True)

    def served(self, seconds: float, caller: str = "client") -> collections.Counter[tuple[int, str]]:
        """(status, version) of the requests sent from now on, once the first is answered: on a busy machine
        that may be after the time.
        """
        since = time.time()
        time.sleep(seconds)
        until_s, deadline_s = time.time(), time.monotonic() + 60
        while not (found := self.ledger(since, until_s, caller)) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return found

    def ledger(self, since_s: float, until_s: float, caller: str = "client") -> collections.Counter[Any]:
        name = self.pods(caller)[0]["metadata"]["name"]
        path = f"/-/requests?since={since_s:.6f}&until={until_s:.6f}"
        found = json.loads(self.api.pod_get("shop", name, 9000, path))
        return collections.Counter(zip(found["status"], found["version"], strict=True))

    def pods(self, app: str, namespace: str = "shop") -> list[dict[str, Any]]:
        found = [
            p for p in self.api.list(POD, namespace, f"app={app}") if p["status"].get("phase") == "Running"
        ]
        return [dict(p) for p in found if "deletionTimestamp" not in p["metadata"]]

    def scale(self, name: str, replicas: int) -> None:
        spec = {"spec": {"replicas": replicas}}
        self.api.merge_patch(DEPLOYMENT, name, self.control_namespace, spec)

    def metrics(self, app: str, number: int = 0) -> str:
        pod = self.pods(app)[number]["metadata"]["name"]
        return self.api.pod_get("shop", pod, *METRICS[self.mesh])


def until(what: str, holds: Callable[[], bool], timeout_s: float = 60) -> float:
    """Wait until it holds; returns the seconds it took."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - start


def sidecars(pod: dict[str, Any]) -> list[str]:
    names = [c["name"] for c in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])]
    return [name for name in names if name.endswith("-proxy")]


both = pytest.mark.parametrize(
    "bare", ["istio", pytest.param("linkerd", marks=pytest.mark.soak)], indirect=True, scope="module"
)
"""What the sandbox does for both meshes by the same code; for Linkerd, which is larger, as soak."""


@pytest.fixture(scope="module", params=["istio", "linkerd"])
def bare(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop on a sandbox without a mesh, its namespace already asking for injection."""
    with running_sandbox() as sandbox:
        made = Shop(sandbox, request.param)
        made.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        made.make(Injection(namespace="shop", restart=False))
        shop.deploy_shop(made.cluster, rps=100, versions=VERSIONS)
        yield made


@pytest.fixture(scope="module")
def meshed(bare: Shop) -> Shop:
    """The same shop once the mesh is installed, with a route to v1 alone."""
    bare.make(ControlPlane())
    bare.make(Injection(namespace="shop"))
    bare.make(bare.route(100))
    until("only v1 is served", lambda: {v for _, v in bare.served(0.5)} == {"v1"})
    return bare


def test_before_installing_nothing_is_injected_and_no_route_works(bare: Shop) -> None:
    assert not any(sidecars(pod) for app in ("client", "web") for pod in bare.pods(app))
    for crd in crds("istio" if bare.mesh == "istio" else "gateway_api"):
        bare.api.apply(crd)
    until("the CRD is served", lambda: bare.api.resource(ROUTE[bare.mesh]) is not None)
    bare.make(bare.route(100))
    until("both are served", lambda: {version for _, version in bare.served(1)} == {"v1", "v2"})


def test_after_installing_pods_are_injected(meshed: Shop) -> None:
    assert all(len(sidecars(pod)) == 1 for app in ("client", "web") for pod in meshed.pods(app))


@pytest.mark.parametrize("bare", ["istio"], indirect=True)
def test_istiod_writes_by_itself_what_a_real_one_writes(meshed: Shop) -> None:
    expected = inventory.explained()
    until("it is all there", lambda: inventory.differences(inventory.written(meshed.cluster)) == expected)


def test_weights_and_header_matches_are_obeyed(meshed: Shop) -> None:
    meshed.weigh(80)
    until("the weights are obeyed", lambda: set(meshed.served(0.5)) == {(200, "v1"), (200, "v2")})
    time.sleep(0.5)
    seen = meshed.served(5)
    assert seen[(200, "v2")] in usual(0.2, seen.total())
    assert seen.total() > 250
    assert set(seen) == {(200, "v1"), (200, "v2")}
    meshed.weigh(100, HeaderMatch(header="x-user", value="somebody", version="v2"))
    _add_caller(meshed, "tester", {"x-user": "somebody"}, meshed=True)
    until("the header is obeyed", lambda: set(meshed.served(1, "tester")) == {(200, "v2")})
    until("it is for others as well", lambda: set(meshed.served(1)) == {(200, "v1")})
    meshed.weigh(100)
    meshed.api.delete(DEPLOYMENT, "tester", "shop")


@both
def test_pods_of_a_statefulset_are_injected_and_reached_one_by_one(meshed: Shop) -> None:
    ports = [{"name": "http", "port": 8080}]
    headless = {"clusterIP": "None", "selector": {"app": "kv"}, "ports": ports}
    meta = {"name": "kv", "namespace": "shop"}
    meshed.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": headless})
    item = _caller("kv", {})
    item |= {"kind": "StatefulSet", "spec": {**item["spec"], "replicas": 2, "serviceName": "kv"}}
    container = item["spec"]["template"]["spec"]["containers"][0]
    own_name = {"name": "VERSION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    listening = [{"containerPort": 8080}, {"containerPort": 9000}]
    container |= {"name": "web", "image": "meshkit.dev/sandbox/web:1", "env": [own_name], "ports": listening}
    meshed.api.apply(item)
    until("both pods are ready", lambda: [_ready(pod) for pod in meshed.pods("kv")] == [True, True], 60)
    assert sorted(pod["metadata"]["name"] for pod in meshed.pods("kv")) == ["kv-0", "kv-1"]
    assert all(len(sidecars(pod)) == 1 for pod in meshed.pods("kv"))
    _add_caller(meshed, "reader", {}, meshed=True, target="http://kv-1.kv:8080/")
    until("only kv-1 answers", lambda: set(meshed.served(0.5, "reader")) == {(200, "kv-1")}, 30)
    meshed.api.delete(DEPLOYMENT, "reader", "shop")
    meshed.api.delete(Kind("apps/v1", "StatefulSet"), "kv", "shop")
    meshed.api.delete(Kind("v1", "Service"), "kv", "shop")


def test_metrics_have_the_meshs_own_names(meshed: Shop) -> None:
    until("requests are counted", lambda: "_bucket{" in meshed.metrics("web"))
    names = {
        "istio": ("istio_requests_total{", "istio_request_duration_milliseconds_bucket{", "mutual_tls"),
        "linkerd": ("response_total{", "response_latency_ms_bucket{", 'tls="true"'),
    }
    page = meshed.metrics("web")
    assert all(name in page for name in names[meshed.mesh])


@pytest.mark.parametrize(
    "changes", [100, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_weight_changes_under_load_lose_nothing(meshed: Shop, changes: int) -> None:
    meshed.weigh(100)
    since = time.time()
    for turn in range(changes):
        meshed.weigh(100 if turn % 2 else 0)
        time.sleep(0.02)
    time.sleep(0.5)
    seen = meshed.ledger(since, time.time() - 0.2)
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {"v1", "v2"}
    until("the last weights are obeyed", lambda: {version for _, version in meshed.served(0.5)} == {"v1"})


def test_strict_refuses_callers_without_an_identity(meshed: Shop) -> None:
    _add_caller(meshed, "stranger", {}, meshed=False)
    assert {status for status, _ in meshed.served(0.7, "stranger")} == {200}
    since_s, graph, until_s = graph_read_whole(meshed)
    assert any(edge.source == "" and edge.security == "plaintext" for edge in graph.edges)
    (known,) = [e for e in graph.edges if (e.source, e.destination) == ("shop/client", "shop/web-v1")]
    assert (known.security, known.success_percent) == ("mTLS", 100)
    sent = meshed.ledger(since_s - 1, until_s).total()  # with those of a second before, answered late
    assert 0.5 * 100 * 3 < known.counts.requests <= sent
    meshed.make(MutualTLS(mode="strict", namespace="shop"))
    refused = {0} if meshed.mesh == "istio" else {403}
    until("strangers are refused", lambda: {s for s, _ in meshed.served(0.5, "stranger")} == refused)
    until(
        "the refused are seen",
        lambda: any(edge.refused for edge in service_graph(meshed.cluster, window_s=1).edges),
    )
    assert {status for status, _ in meshed.served(1)} == {200}
    meshed.make(MutualTLS(mode="permissive", namespace="shop"))
    meshed.api.delete(DEPLOYMENT, "stranger", "shop")


def graph_read_whole(meshed: Shop) -> tuple[float, ServiceGraph, float]:
    """The calls of three seconds whose sidecars could all be read, and the time before and after."""
    for _ in range(20):
        since_s, graph = time.time(), service_graph(meshed.cluster, window_s=3)
        if not graph.unread:
            break
    return since_s, graph, time.time()


def test_access_lets_in_whom_it_names_and_undo_restores(meshed: Shop) -> None:
    _add_caller(meshed, "other", {}, meshed=True)
    assert {status for status, _ in meshed.served(0.5, "other")} == {200}
    since = time.time()
    callers = (Caller(namespace="shop", workload="client"),)
    wanted = Access(namespace="shop", service="web", port=8080, callers=callers)
    made = change.apply(change.plan(wanted, meshed.cluster, mesh=meshed.mesh), meshed.cluster)
    until("others are refused", lambda: {s for s, _ in meshed.served(0.5, "other")} == {403})
    undo(made.id, meshed.cluster)
    until("others are let in again", lambda: {s for s, _ in meshed.served(0.5, "other")} == {200})
    assert {status for status, _ in meshed.ledger(since, time.time() - 0.2)} == {200}
    by_path = wanted.model_copy(update={"paths": ("/health", "/api/*"), "methods": ("GET",)})
    made = change.apply(change.plan(by_path, meshed.cluster, mesh=meshed.mesh), meshed.cluster)
    until("other paths are refused", lambda: {s for s, _ in meshed.served(0.5)} == {403})
    undo(made.id, meshed.cluster)
    until("all paths are let in again", lambda: {s for s, _ in meshed.served(0.5)} == {200})
    meshed.api.delete(DEPLOYMENT, "other", "shop")


def test_a_route_is_told_by_its_mesh_what_became_of_it(meshed: Shop) -> None:
    for crd in crds("gateway_api"):
        meshed.api.apply(crd)
    until("HTTPRoutes are served", lambda: meshed.api.resource(ROUTE["linkerd"]) is not None)
    parent = {"group": "", "kind": "Service", "name": "nobody", "port": 8080}
    backend = {"name": "web", "port": 8080}
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": [backend]}]}
    meta = {"name": "astray", "namespace": "shop"}
    api_version, kind = ROUTE["linkerd"]
    meshed.api.apply({"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec})

    def told() -> list[tuple[str, str, str]]:
        found = meshed.api.get(ROUTE["linkerd"], "astray", "shop") or {}
        return [
            (entry["controllerName"], condition["type"], condition["reason"])
            for entry in (found.get("status") or {}).get("parents") or ()
            for condition in entry["conditions"]
        ]

    controller = {"istio": "istio.io/gateway-controller", "linkerd": "linkerd.io/policy-controller"}
    mine = controller[meshed.mesh]
    expected = [(mine, "Accepted", "NoMatchingParent"), (mine, "ResolvedRefs", "ResolvedRefs")]
    until("the route has a status", lambda: told() == expected)
    meshed.api.delete(ROUTE["linkerd"], "astray", "shop")


@both
def test_what_envoy_refuses_is_an_event_and_changes_nothing(meshed: Shop) -> None:
    path, match = {
        "istio": ("/spec/http/0/match", {"uri": {"regex": "(("}}),
        "linkerd": ("/spec/rules/0/matches", {"path": {"type": "RegularExpression", "value": "(("}}),
    }[meshed.mesh]
    name = {"istio": "web", "linkerd": "web-primary"}[meshed.mesh]
    meshed.api.json_patch(ROUTE[meshed.mesh], name, "shop", [{"op": "add", "path": path, "value": [match]}])
    until("an Event says why", lambda: any("missing )" in m for m in _warnings(meshed, name)))
    assert set(meshed.served(0.5)) == {(200, "v1")}
    meshed.weigh(0)
    until("the mended route is obeyed", lambda: set(meshed.served(0.3)) == {(200, "v2")})
    meshed.weigh(100)


@both
def test_with_one_replica_lost_injection_and_routes_go_on(meshed: Shop) -> None:
    meshed.api.delete(POD, _leader(meshed)["metadata"]["name"], meshed.control_namespace)
    _add_caller(meshed, "second", {}, meshed=True)
    meshed.weigh(0)
    until("the new weights are obeyed", lambda: set(meshed.served(0.3)) == {(200, "v2")})
    meshed.weigh(100)
    meshed.api.delete(DEPLOYMENT, "second", "shop")


def test_a_killed_leader_process_loses_no_change_and_no_pod(meshed: Shop) -> None:
    since = time.time()
    _kill(_leader(meshed))
    meshed.weigh(0)
    until("the weights written meanwhile are obeyed", lambda: set(meshed.served(0.3)) == {(200, "v2")})
    for name in _control_pods(meshed)[:1]:
        _kill(meshed.api.get(POD, name, meshed.control_namespace))
    _add_caller(meshed, "newcomer", {}, meshed=True)
    meshed.weigh(100)
    until("weights are obeyed", lambda: set(meshed.served(0.3)) == {(200, "v1")})
    assert {status for status, _ in meshed.ledger(since, time.time() - 0.2)} == {200}
    meshed.api.delete(DEPLOYMENT, "newcomer", "shop")


@both
def test_with_all_replicas_lost_traffic_flows_and_nothing_new_begins(meshed: Shop) -> None:
    since = time.time()
    for name in CONTROL_PLANE[meshed.mesh]:
        meshed.scale(name, 0)
    until("no control plane runs", lambda: not _control_pods(meshed))
    meshed.weigh(0)
    third = _caller("third", {})
    meshed.api.apply(third)
    until("pods are refused", lambda: any("failed calling webhook" in m for m in _warnings(meshed, "third")))
    assert not meshed.pods("third")
    assert {version for _, version in meshed.served(1)} == {"v1"}
    for name in CONTROL_PLANE[meshed.mesh]:
        meshed.scale(name, 3)
    until("the waiting route is obeyed", lambda: set(meshed.served(0.3)) == {(200, "v2")})
    assert {status for status, _ in meshed.ledger(since, time.time() - 0.2)} == {200}
    until("the waiting pod is injected", lambda: any(sidecars(pod) for pod in meshed.pods("third")))


@both
def test_a_restart_of_the_daemon_brings_everything_back(meshed: Shop) -> None:
    """All pods start again under new addresses, and traffic flows encrypted, with no step by hand."""
    meshed.weigh(100)
    daemon = lifecycle.running(meshed.home)
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGKILL)
    until("the daemon has ended", lambda: lifecycle.running(meshed.home) is None)
    lifecycle.up(meshed.home)
    until("all pods are ready", lambda: all(map(_ready, meshed.api.list(POD))))
    until("v1 alone is served", lambda: set(meshed.served(0.3)) == {(200, "v1")})
    meshed.weigh(0)
    until("a change is obeyed", lambda: set(meshed.served(0.3)) == {(200, "v2")})
    sure = {"istio": 'connection_security_policy="mutual_tls"', "linkerd": 'tls="true"'}[meshed.mesh]
    until("it is encrypted", lambda: any(sure in meshed.metrics("web", n) for n in range(2)))


def test_no_privilege_is_needed() -> None:
    """A sandbox with meshed pods under mutual TLS; run by root, it has none of root's capabilities."""
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        home = SandboxHome(Path(folder) / "sandbox")
        drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--securebits=+noroot"]
        command = [*(drop if os.geteuid() == 0 else ()), sys.executable, "-m", "meshkit", "sandbox", "up"]
        subprocess.run(command, env=os.environ | {"MESHKIT_HOME": folder}, check=True, capture_output=True)
        try:
            daemon = lifecycle.running(home)
            assert daemon is not None
            assert "CapEff:\t0000000000000000" in Path(f"/proc/{daemon.pid}/status").read_text()
            made = Shop(Sandbox(home.kubeconfig, home.path), "istio")
            made.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            made.make(ControlPlane(), Injection(namespace="shop"), MutualTLS(mode="strict", namespace="shop"))
            shop.deploy_shop(made.cluster, rps=50, versions=VERSIONS)
            assert all(len(sidecars(pod)) == 1 for pod in made.pods("web"))
            until("requests are answered", lambda: {status for status, _ in made.served(0.5)} == {200})
        finally:
            lifecycle.down(home)


def _leader(meshed: Shop) -> Any:
    """The pod that leads. Wait for it if the Lease has no holder."""

    def found() -> Any:
        lease = meshed.api.get(LEASE, LEASE_OF[meshed.mesh], meshed.control_namespace) or {}
        holder = lease.get("spec", {}).get("holderIdentity")
        return holder and meshed.api.get(POD, holder, meshed.control_namespace)

    until("a replica leads", lambda: bool(found()))
    return found()


def _kill(pod: Any) -> None:
    """``kill -9`` on the process of the pod's first container."""
    container = pod["status"]["containerStatuses"][0]["containerID"]
    os.kill(int(container.removeprefix("meshkit://")), signal.SIGKILL)


def _control_pods(meshed: Shop) -> list[str]:
    names = [pod["metadata"]["name"] for pod in meshed.api.list(POD, meshed.control_namespace)]
    return [name for name in names if name.startswith(CONTROL_PLANE[meshed.mesh])]


def _warnings(meshed: Shop, about: str) -> list[str]:
    return [
        event["message"]
        for event in meshed.api.list(EVENT, "shop")
        if event["type"] == "Warning" and event["involvedObject"]["name"].startswith(about)
    ]


def _caller(name: str, headers: dict[str, str], target: str = WEB, **annotations: str) -> dict[str, Any]:
    uncaptured = {
        "traffic.sidecar.istio.io/excludeInboundPorts": "9000",
        "config.linkerd.io/skip-inbound-ports": "9000",
    }
    meta = {"labels": {"app": name}, "annotations": {**uncaptured, **annotations}}
    env = {"TARGET": target, "RATE": "20", "HEADERS": json.dumps(headers)}
    container = {
        "name": "load",
        "image": "meshkit.dev/sandbox/load:1",
        "ports": [{"containerPort": 9000}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 9000}, "periodSeconds": 1},
        "env": [{"name": key, "value": value} for key, value in env.items()],
    }
    template = {"metadata": meta, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def _add_caller(made: Shop, name: str, headers: dict[str, str], *, meshed: bool, target: str = WEB) -> None:
    item = _caller(name, headers, target, **({} if meshed else {"linkerd.io/inject": "disabled"}))
    if not meshed:
        item["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
    made.api.apply(item)
    until(f"{name} is ready", lambda: any(len(sidecars(p)) == meshed and _ready(p) for p in made.pods(name)))


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
