"""An operation works on the mesh that is named, else on that of the bound cluster, else on the only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, Forbidden, UnknownName, UnsupportedByMesh
from meshkit.intent.observability import Observability
from meshkit.intent.release import Release
from meshkit.operations.change import plan
from meshkit.operations.health import check
from meshkit.operations.identity.create import plan_identity
from meshkit.operations.identity.rotate import identity_status
from meshkit.operations.observability import observability_files
from meshkit.operations.release.forecast import forecast_release
from meshkit.operations.release.plan import plan_release
from meshkit.operations.release.unattended.detached import run_detached
from meshkit.operations.setup.guide import Setup
from meshkit.operations.uninstall import plan_uninstall
from meshkit.operations.which_mesh import mesh_of

ISTIOD = ("Deployment", {"app": "istiod"})
LINKERD = ("Deployment", {"linkerd.io/control-plane-component": "destination"})
OTHERS = ("Deployment", {"app": "web"})
LEFT_BEHIND = ("MutatingWebhookConfiguration", {})


class Api:
    """Answers lists from what a cluster holds, and counts them."""

    def __init__(self, *held: tuple[str, dict[str, str]], refuse: bool = False) -> None:
        self.held, self.refuse, self.requests = held, refuse, 0

    def list(self, kind: Any, namespace: str | None = None, labels: str | None = None) -> list[Any]:
        self.requests += 1
        if self.refuse:
            raise Forbidden("may not list Deployments.", remedy="Ask for the right.", status=403)
        found = [marks for name, marks in self.held if name == kind.kind]
        hooks = {"webhooks": [{"name": "linkerd-proxy-injector.linkerd.io"}]}
        return [
            {"kind": kind.kind, "metadata": {"name": "one", "labels": marks}, **hooks}
            for marks in found
            if labels is None or any(_selects(labels, *mark) for mark in marks.items())
        ]


def _selects(selector: str, key: str, value: str) -> bool:
    """Whether a label satisfies a selector of the form ``key in (one,two)``."""
    wanted, _, values = selector.partition(" in ")
    return key == wanted and value in values.strip("()").split(",")


def cluster(*held: tuple[str, dict[str, str]], mesh: str | None = None, refuse: bool = False) -> Cluster:
    api = cast(Any, Api(*held, refuse=refuse))
    return Cluster("prod", "https://prod:6443", api, mesh=mesh)


def requests(one: Cluster) -> int:
    return cast(Any, one.api).requests  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("held", "found"),
    [((ISTIOD, OTHERS), "istio"), ((LINKERD,), "linkerd"), ((LEFT_BEHIND,), "linkerd")],
)
def test_the_only_mesh_of_the_cluster_is_meant(held: Any, found: str) -> None:
    assert mesh_of(cluster(*held)) == found


def test_none_is_an_error_that_asks() -> None:
    with pytest.raises(BadInput, match=r"mesh: none is named, and cluster prod .* has none") as caught:
        mesh_of(cluster(OTHERS))
    assert caught.value.field == "mesh"
    assert "--mesh" in caught.value.remedy
    assert "mk.connect(mesh=...)" in caught.value.remedy
    assert "istio, linkerd" in caught.value.remedy


@pytest.mark.parametrize("held", [(ISTIOD, LINKERD), (ISTIOD, LEFT_BEHIND)])
def test_two_are_an_error_that_names_both(held: Any) -> None:
    with pytest.raises(BadInput, match="has istio and linkerd") as caught:
        mesh_of(cluster(*held))
    assert caught.value.field == "mesh"


def test_an_account_that_may_not_look_is_asked() -> None:
    with pytest.raises(BadInput, match="may not see which one"):
        mesh_of(cluster(ISTIOD, refuse=True))


def test_what_is_said_wins_without_a_request() -> None:
    bound = cluster(ISTIOD, mesh="istio")
    assert mesh_of(bound, "linkerd") == "linkerd"
    assert mesh_of(bound) == "istio"
    assert requests(bound) == 0


OPERATIONS: list[Callable[[Cluster, str | None], object]] = [
    lambda one, mesh: plan([], one, mesh=mesh),
    lambda one, mesh: check(one, mesh=mesh),
    lambda one, mesh: plan_uninstall(one, mesh=mesh),
    lambda one, mesh: plan_identity(one, mesh=mesh),
    lambda one, mesh: identity_status(one, mesh=mesh),
    lambda one, mesh: Setup(one, mesh),
    lambda one, mesh: run_detached(RELEASE, one, mesh=mesh),
    lambda one, mesh: forecast_release(RELEASE, one, mesh=mesh),
    lambda one, mesh: plan_release(RELEASE, one, mesh=mesh),
]
RELEASE = Release(name="web-v2", namespace="shop", service="web", port=80, stable="v1", canary="v2")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("bound", [False, True])
def test_an_unknown_name_is_refused_before_any_request(operation: Any, bound: bool) -> None:
    one = cluster(ISTIOD, mesh="isto" if bound else None)
    with pytest.raises(UnknownName, match="'isto' is not known"):
        operation(one, None if bound else "isto")
    assert requests(one) == 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_chooses_between_two(operation: Any) -> None:
    with pytest.raises(BadInput, match="has istio and linkerd"):
        operation(cluster(ISTIOD, LINKERD), None)


def test_the_guided_path_takes_the_mesh_of_its_cluster() -> None:
    assert Setup(cluster(LINKERD)).mesh == "linkerd"


def test_files_without_a_cluster_need_the_name() -> None:
    with pytest.raises(BadInput, match="mesh: none is named, and no cluster is asked"):
        observability_files(Observability())


@pytest.mark.parametrize("operation", [plan_identity, identity_status])
def test_a_mesh_that_makes_its_own_identity_is_refused(operation: Any) -> None:
    with pytest.raises(UnsupportedByMesh, match="Istio makes its own trust anchor and issuer"):
        operation(cluster(ISTIOD))
