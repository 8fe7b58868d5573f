"""Every verb works with exactly the role that ships for it: no right is missing, and none is unused.

What is used is read from the requests that were sent. Rights that are only for what this server does not have
(pods with sidecars, route objects of a release) are compared with the operations' own statement in
tests/unit/operations/test_roles.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import meshkit as mk
from meshkit.cluster.connect import Cluster
from meshkit.cluster.ready import established
from meshkit.errors import Forbidden, MeshkitError
from meshkit.facts import Kind
from meshkit.meshes import registry
from meshkit.operations.release.plan import plan_release
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.runner import release_state
from meshkit.operations.rights.roles import Verb, _offline, rights_of, role_objects
from meshkit.testing import Behaviour, FakeClock, ScriptedObserver

NAMESPACE = Kind("v1", "Namespace")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
MESHES = pytest.mark.parametrize("mesh", ["istio", "linkerd"])
PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/v[^/]+(?:/namespaces/(?P<space>[^/]+)(?=/))?"
    r"/(?P<resource>[^/?]+)(?:/(?P<name>[^/?]+))?"
)
NAMED = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
Used = set[tuple[str, str, str]]
OF_OTHER_MOMENTS = {
    "configmaps",
    "leases",
    "httproutes",
    "grpcroutes",
    "pods",
    "services",
    "events",
    "namespaces",
}
"""What a guardian needs only for old records, a first lock, Gateway API, ready pods, and Events."""


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> Iterator[None]:
    """The definitions and namespaces of both meshes, which are removed again if they were not there."""
    held = {item["metadata"]["name"] for item in cluster.api.list(CRD)}
    wanted = {item["metadata"]["name"]: item for row in registry.MESHES.values() for item in row.crds()}
    made = [item for name, item in wanted.items() if name not in held]
    for item in made:
        cluster.api.apply(item, manager="test")
    for item in made:
        cluster.api.wait(CRD, item["metadata"]["name"], None, established, 30, "established")
    homes = [row.control_plane.home for row in registry.MESHES.values()]
    absent = [home for home in homes if cluster.api.get(NAMESPACE, home) is None]
    for home in absent:
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}})
    yield
    for home in absent:
        cluster.api.delete(NAMESPACE, home)
    for item in made:
        cluster.api.delete(CRD, item["metadata"]["name"])


@pytest.fixture
def with_role(
    cluster: Cluster, namespace: str, as_account: Callable[..., Cluster]
) -> Iterator[Callable[[Verb, str], tuple[Cluster, Used]]]:
    """An account with the role of a verb, and what it uses of it."""
    made: list[Any] = []

    def connected(verb: Verb, mesh: str) -> tuple[Cluster, Used]:
        for item in role_objects(verb, mesh, account=f"{namespace}/holder"):
            cluster.api.apply(item, manager="test")
            made.append(item)
        holder, used = as_account("holder"), set[tuple[str, str, str]]()
        send = holder.api._send

        def recorded(method: str, path: str, **request: Any) -> bytes:
            found = PATH.match(path)
            if found and not found["resource"].startswith("selfsubject"):  # every account may ask these
                verb = "create" if method == "POST" else NAMED[method]
                listed = verb == "get" and not found["name"]
                used.add(("list" if listed else verb, found["group"] or "", found["resource"]))
            return send(method, path, **request)

        holder.api._send = recorded  # type: ignore[method-assign]
        return holder, used

    yield connected
    for item in made:
        if item["kind"] != "Namespace":
            meta = item["metadata"]
            cluster.api.delete(Kind(item["apiVersion"], item["kind"]), meta["name"], meta.get("namespace"))


def stated(verb: Verb, mesh: str) -> Used:
    return {right[:3] for right in rights_of(verb, mesh)}


@MESHES
def test_reading_uses_all_of_its_role(
    with_role: Callable[[Verb, str], tuple[Cluster, Used]], namespace: str, mesh: str
) -> None:
    holder, used = with_role("read", mesh)
    mk.check(holder, mesh=mesh)
    mk.explain(f"web.{namespace}:8080", holder, mesh=mesh)
    mk.history(holder)
    with pytest.raises(MeshkitError, match="sidecar"):
        mk.access_matrix(holder, namespace, mesh=mesh, window_s=0.1)
    row = registry.mesh(mesh)
    kinds = (*row.checks.kinds, *row.meaning.KINDS.values(), *row.not_evaluated)
    not_served = {
        ("list", kind.group, _offline(row).resource(kind).plural)
        for kind in kinds
        if holder.api.resource(kind) is None
    }
    of_pages = {("get", "", "pods/proxy"), ("get", "", "configmaps")}  # of pods and changes, none here
    assert used - stated("read", mesh) == set()
    assert stated("read", mesh) - used <= of_pages | not_served


@pytest.fixture
def service(cluster: Cluster, namespace: str) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    meta = {"name": "web", "namespace": namespace}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}, manager="test")


def rule(namespace: str) -> mk.Access:
    return mk.Access(namespace=namespace, service="web", callers=(mk.Caller(namespace=namespace),))


@MESHES
def test_a_plan_changes_nothing_and_applying_it_is_refused(
    with_role: Callable[[Verb, str], tuple[Cluster, Used]], service: None, namespace: str, mesh: str
) -> None:
    holder, used = with_role("plan", mesh)
    planned = mk.plan(rule(namespace), holder, mesh=mesh)
    assert len(planned.steps) >= 1
    with pytest.raises(Forbidden, match="Nothing was changed"):
        mk.apply(planned, holder)
    assert used - stated("plan", mesh) <= {("get", "", "namespaces")}


@MESHES
def test_what_was_applied_with_the_role_is_undone_with_it(
    with_role: Callable[[Verb, str], tuple[Cluster, Used]], service: None, namespace: str, mesh: str
) -> None:
    holder, used = with_role("apply", mesh)
    made = mk.apply(mk.plan(rule(namespace), holder, mesh=mesh), holder)
    assert mk.history(holder)[0].id == made.id
    mk.undo(made.id, holder)
    assert used - stated("apply", mesh) == set()
    with pytest.raises(Forbidden):
        holder.api.list(Kind("v1", "Secret"), namespace)


class Killed(BaseException):
    """Stands for kill -9 of a runner."""


def test_a_release_runs_with_its_role_and_is_taken_back_with_the_guardians(
    cluster: Cluster,
    with_role: Callable[[Verb, str], tuple[Cluster, Used]],
    service: None,
    namespace: str,
) -> None:
    """Its observer is scripted, so nobody reads the metrics of pods, which only the runner may."""
    cluster.api.apply(split_route(namespace), manager="another-team")
    clock = FakeClock()
    release = mk.Release(
        name=f"of-{namespace}",
        namespace=namespace,
        service="web",
        port=80,
        stable="v1",
        canary="v2",
        steps=(50, 100),
        baseline_s=0,
    )
    observer = ScriptedObserver(
        clock, {"v1": Behaviour(), "v2": Behaviour()}, rps=300, split=lambda: {"v1": 50, "v2": 50}
    )
    runner, used = with_role("release", "istio")

    def kill(event: Any) -> None:
        if event.state.asked_percent == 50:
            raise Killed

    plan = plan_release(release, runner, mesh="istio", observer=observer, clock=clock)
    with pytest.raises(Killed):
        plan.run(runner, progress=kill)
    assert used - stated("release", "istio") == set()
    assert ("patch", "networking.istio.io", "virtualservices") in used

    guardian, used = with_role("guardian", "istio")
    plan_rollback(release.name, guardian, force=True, clock=clock).run(guardian)
    assert release_state(release.name, cluster).status == "rolled_back"
    assert used - stated("guardian", "istio") == set()
    unused = stated("guardian", "istio") - used
    assert not {right for right in unused if right[2] not in OF_OTHER_MOMENTS}, unused


def split_route(namespace: str) -> dict[str, Any]:
    to = [
        {"destination": {"host": f"web.{namespace}.svc.cluster.local", "subset": subset}, "weight": weight}
        for subset, weight in (("v1", 100), ("v2", 0))
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"hosts": ["web"], "http": [{"route": to}]},
    }
