"""A workload is available when every replica has the newest template, whichever controller makes the pods."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.ready import accepted, available, parents, wait_for
from meshkit.errors import TimedOut
from meshkit.facts import Kind
from meshkit.kube.steps import Wait

REPLICAS = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
NODES = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


def workload(kind: str, observed: int = 4, **status: int) -> dict[str, Any]:
    spec = {} if kind == "DaemonSet" else {"replicas": 2}
    return {
        "kind": kind,
        "metadata": {"generation": 4},
        "spec": spec,
        "status": {"observedGeneration": observed, **status},
    }


@pytest.mark.parametrize(
    ("kind", "status", "lacking"),
    [
        ("Deployment", REPLICAS, "updatedReplicas"),
        ("StatefulSet", REPLICAS, "availableReplicas"),
        ("DaemonSet", NODES, "updatedNumberScheduled"),
        ("DaemonSet", NODES, "numberAvailable"),
    ],
)
def test_a_workload_is_available_once_every_new_pod_is(
    kind: str, status: dict[str, int], lacking: str
) -> None:
    assert available(workload(kind, **status))
    assert not available(workload(kind, **{**status, lacking: 1}))
    assert not available(workload(kind, 3, **status)), "its controller has not seen the newest template"


PARENT = {"group": "", "kind": "Service", "name": "web", "port": 8080}


def http_route(
    *told: dict[str, Any], parents: tuple[dict[str, Any], ...] = (PARENT,), generation: int = 2
) -> dict[str, Any]:
    return {
        "kind": "HTTPRoute",
        "metadata": {"generation": generation},
        "spec": {"parentRefs": list(parents)},
        "status": {"parents": list(told)},
    }


def said(parent: dict[str, Any] = PARENT, seen: int | None = 2, **conditions: str) -> dict[str, Any]:
    """What a controller says of a parent: condition -> True, or the reason why not."""
    listed = [
        {
            "type": kind,
            "status": "True" if reason == "True" else "False",
            "reason": reason,
            **({} if seen is None else {"observedGeneration": seen}),
        }
        for kind, reason in {"Accepted": "True", "ResolvedRefs": "True", **conditions}.items()
    ]
    return {"parentRef": parent, "controllerName": "mesh", "conditions": listed}


def test_a_route_is_accepted_once_each_parent_says_so_of_its_newest_state() -> None:
    assert accepted(http_route(said()))
    assert accepted(http_route(said(seen=None))), "Linkerd tells no generation"
    assert not accepted(None)
    assert not accepted(http_route())
    assert not accepted(http_route(said(seen=1)))
    assert not accepted(http_route(said(Accepted="NoMatchingParent")))
    assert not accepted(http_route(said(ResolvedRefs="BackendNotFound")))
    other = {**PARENT, "port": 9090}
    assert not accepted(http_route(said(), parents=(PARENT, other)))
    assert accepted(http_route(said(), said(other), parents=(PARENT, other)))


def test_what_the_parents_of_a_route_say_is_told() -> None:
    route = http_route(said(ResolvedRefs="BackendNotFound"))
    assert list(parents(route)) == ["Service web:8080: Accepted, not ResolvedRefs (BackendNotFound) by mesh"]
    assert list(parents(http_route(said(seen=1)))) == [
        "Service web:8080: Accepted not known yet, ResolvedRefs not known yet by mesh"
    ]
    assert list(parents(http_route())) == ["no controller has written a status for Service web:8080"]


class Slow:
    """An API whose object stays as it is until the time is over."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def get(self, *_: object) -> dict[str, Any]:
        return self.found

    def wait(self, *_: object, **__: object) -> None:
        raise TimedOut("HTTPRoute shop/web was not accepted after 30 s.", remedy="Look.", waited_s=30.0)


def test_a_route_that_nobody_has_answered_stays_where_the_step_says_so() -> None:
    def waited(route: dict[str, Any], *, unanswered: bool) -> object:
        wait = Wait("accepted", 30, unanswered)
        return wait_for(Slow(route), Kind("v1", "HTTPRoute"), "web", "shop", wait)  # type: ignore[arg-type]

    assert waited(http_route(), unanswered=True) == http_route()
    for route, unanswered in ((http_route(), False), (http_route(said(Accepted="NoMatchingParent")), True)):
        with pytest.raises(TimedOut):
            waited(route, unanswered=unanswered)
