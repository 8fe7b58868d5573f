"""Istio's ambient mode: which pods are in it, which waypoint serves them, what ztunnel makes of policies."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.injection import Injection
from meshkit.intent.release import Release
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.injection import injected
from meshkit.meshes.istio.ambient import intents
from meshkit.meshes.istio.ambient.membership import enrolled
from meshkit.meshes.istio.ambient.policies import beyond_ztunnel
from meshkit.meshes.istio.ambient.waypoints import Waypoints
from meshkit.meshes.istio.planner import PLANNER
from meshkit.meshes.istio.revisions import Revision, webhook

MODE = "istio.io/dataplane-mode"
CAPTURED = {"ambient.istio.io/redirection": "enabled"}


def namespace(**labels: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": "library", "labels": labels}}


def pod(labels: dict[str, str], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "books-1", "namespace": "library", "labels": labels, "annotations": annotations or {}}
    return {"kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "books"}], **spec}}


AMBIENT, PLAIN = namespace(**{MODE: "ambient"}), namespace()
WITH_SIDECAR: dict[str, Any] = {
    "containers": [{"name": "books"}, {"name": "istio-proxy", "image": "proxyv2:1.31.4"}]
}


@pytest.mark.parametrize(
    ("own", "home", "is_in"),
    [
        (pod({}), AMBIENT, True),
        (pod({}), PLAIN, False),
        (pod({MODE: "ambient"}), PLAIN, True),
        (pod({MODE: "none"}), AMBIENT, False),
        (pod({}, CAPTURED), PLAIN, True),
        (pod({}, **WITH_SIDECAR), AMBIENT, False),
        (pod({}, hostNetwork=True), AMBIENT, False),
    ],
)
def test_a_pods_own_label_precedes_its_namespaces_and_a_sidecar_precedes_both(
    own: dict[str, Any], home: dict[str, Any], is_in: bool
) -> None:
    assert bool(enrolled(own, home)) == is_in


def gateway(namespace: str = "library", **more: Any) -> dict[str, Any]:
    meta = {"name": "waypoint", "namespace": namespace, **more.pop("metadata", {})}
    spec = {"gatewayClassName": "istio-waypoint", **more.pop("spec", {})}
    version = "gateway.networking.k8s.io/v1"
    return {"apiVersion": version, "kind": "Gateway", "metadata": meta, "spec": spec, **more}


def service(**labels: str) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "books", "namespace": "library", "labels": labels}}


USE = "istio.io/use-waypoint"
FOR_ALL = {"listeners": [{"allowedRoutes": {"namespaces": {"from": "All"}}}]}


@pytest.mark.parametrize(
    ("labels", "home", "waypoint", "problem"),
    [
        ({USE: "waypoint"}, {}, gateway(), ""),
        ({}, {USE: "waypoint"}, gateway(), ""),
        ({USE: "none"}, {USE: "waypoint"}, gateway(), "nothing"),
        ({}, {}, gateway(), "nothing"),
        ({USE: "other"}, {}, gateway(), "there is no Gateway library/other"),
        ({USE: "waypoint"}, {}, gateway(spec={"gatewayClassName": "istio"}), "there is no Gateway"),
        ({USE: "waypoint"}, {}, gateway(metadata={"uid": "1"}), "has no address"),
        (
            {USE: "waypoint"},
            {},
            gateway(metadata={"labels": {"istio.io/waypoint-for": "workload"}}),
            "is for workload requests",
        ),
        ({USE: "waypoint"}, {}, gateway(metadata={"labels": {"istio.io/waypoint-for": "all"}}), ""),
        ({USE: "waypoint", "istio.io/use-waypoint-namespace": "mesh"}, {}, gateway("mesh"), "does not admit"),
        ({USE: "waypoint", "istio.io/use-waypoint-namespace": "mesh"}, {}, gateway("mesh", spec=FOR_ALL), ""),
    ],
)
def test_a_service_is_served_by_the_waypoint_that_its_labels_name(
    labels: dict[str, str], home: dict[str, str], waypoint: dict[str, Any], problem: str
) -> None:
    waypoint["spec"].setdefault("listeners", [])
    served = Waypoints.of([namespace(**home), waypoint]).of_service(service(**labels))
    if problem == "nothing":
        assert not served.waypoint
    else:
        assert problem in served.problem
        assert served.works == (not problem)


def test_a_namespaces_waypoint_for_services_is_no_problem_of_its_pods() -> None:
    waypoints = Waypoints.of([namespace(**{USE: "waypoint"}), gateway()])
    assert waypoints.of_pod(pod({})) == ("", "")
    assert waypoints.of_pod(pod({USE: "waypoint"})).problem


def policy(*rules: dict[str, Any], action: str = "ALLOW") -> dict[str, Any]:
    return {"kind": "AuthorizationPolicy", "spec": {"action": action, "rules": list(rules)}}


GET = {"operation": {"methods": ["GET"]}}
SHOP = {"source": {"namespaces": ["shop"]}}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (policy({"from": [SHOP]}), ""),
        (policy({"to": [{"operation": {"ports": ["80"]}}]}), ""),
        (policy({}), ""),
        (policy({"to": [GET]}), "no rule remains, so it refuses every connection"),
        (policy({"from": [SHOP]}, {"to": [GET]}), "refuses what only that rule lets in"),
        (policy({"from": [SHOP], "to": [GET]}, action="DENY"), "the rest of the rule holds"),
        (policy({"to": [GET]}, action="DENY"), "nothing of the rule remains"),
        (policy({"when": [{"key": "request.headers[a]", "values": ["b"]}]}), "request.headers[a]"),
        (policy({"when": [{"key": "source.namespace", "values": ["b"]}]}), ""),
        (policy(action="AUDIT"), "ztunnel knows no action AUDIT"),
    ],
)
def test_ztunnel_leaves_out_what_is_http(written: dict[str, Any], said: str) -> None:
    assert said in beyond_ztunnel(written)
    assert bool(beyond_ztunnel(written)) == bool(said)


def deployment(**labels: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "books", **labels}}, "spec": {"containers": []}}
    meta = {"name": "books", "namespace": "library"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {"selector": {"matchLabels": {"app": "books"}}, "template": template},
    }


def hook() -> dict[str, Any]:
    made = webhook(Revision(), "istio-system", "Fail")
    for each in made["webhooks"]:
        each["clientConfig"]["caBundle"] = "Y2E="
    return made


def test_no_workload_of_an_ambient_namespace_is_to_get_a_sidecar() -> None:
    running = pod({"app": "books"})
    for marked in (False, True):
        (one,) = injected(
            Snapshot((AMBIENT, hook(), deployment(), running)), "istio", "library", marked=marked
        )
        assert (one.will, one.needs_none, one.outside, one.sidecarless) == (False, True, 0, 1)
        assert f"{MODE}=ambient" in one.why


def test_injection_takes_precedence_over_a_pods_own_ambient_label() -> None:
    injecting = namespace(**{"istio-injection": "enabled"})
    seen = Snapshot((injecting, hook(), deployment(**{MODE: "ambient"})))
    (one,) = injected(seen, "istio", "library")
    assert one.will
    assert not one.needs_none


BOOKS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "books", "namespace": "library"},
    "spec": {"selector": {"app": "books"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
}
POD = pod({"app": "books"}, CAPTURED)
CALLER = Caller(namespace="shop", service_account="web")
ROUTE = Route(
    namespace="library", service="books", port=80, versions=(Version(name="v1"),), split={"v1": 100}
)
RELEASE = Release(
    name="books", namespace="library", service="books", port=80, stable="v1", canary="v2", steps=(10, 100)
)
SERVED = (namespace(**{MODE: "ambient", USE: "waypoint"}), gateway(spec={"listeners": []}))


def access(**fields: Any) -> Access:
    return Access(namespace="library", service="books", callers=(CALLER,), **fields)


def codes_of(intent: Any, *objects: dict[str, Any]) -> list[str]:
    return [f"{each.code} {each.severity} {each.object}" for each in intents.check(intent, Snapshot(objects))]


@pytest.mark.parametrize(
    ("intent", "found"),
    [
        (access(), []),
        (access(port=80), []),
        (access(paths=("/books",)), ["MK2110 error access.paths"]),
        (access(methods=("GET",)), ["MK2110 error access.methods"]),
        (ROUTE, ["MK2110 error route.service"]),
        (RELEASE, ["MK2110 error release.service"]),
        (Injection(namespace="library"), ["MK2111 error injection.namespace"]),
    ],
)
def test_what_ztunnel_cannot_do_is_refused_without_a_waypoint(intent: Any, found: list[str]) -> None:
    assert codes_of(intent, AMBIENT, BOOKS, POD) == found
    assert codes_of(intent, PLAIN, BOOKS, pod({"app": "books"}, **WITH_SIDECAR)) == []
    assert codes_of(intent, AMBIENT, BOOKS, pod({"app": "books", MODE: "none"}))[:1] == (
        ["MK2111 error injection.namespace"] if isinstance(intent, Injection) else []
    )


@pytest.mark.parametrize("intent", [access(methods=("GET",)), ROUTE, RELEASE], ids=lambda each: type(each))
def test_pods_without_labels_of_their_namespace_are_known_by_their_annotation(intent: Any) -> None:
    """An account that may not read namespaces is told the same."""
    assert codes_of(intent, BOOKS, POD)[0].startswith("MK2110 error")


@pytest.mark.parametrize(
    ("intent", "found"),
    [
        (access(methods=("GET",)), "MK2113 warning access.service"),
        (ROUTE, "MK2112 warning route.service"),
        (RELEASE, "MK2114 error release.service"),
    ],
)
def test_what_a_waypoint_serves_is_planned(intent: Any, found: str) -> None:
    assert codes_of(intent, *SERVED, BOOKS, POD) == [found]


def test_a_release_at_a_waypoint_measures_the_callers_with_a_sidecar() -> None:
    caller = pod({"app": "web"}, **WITH_SIDECAR)
    assert codes_of(RELEASE, *SERVED, BOOKS, POD, caller) == ["MK2114 warning release.service"]


def test_access_at_a_waypoint_names_the_service_and_its_own_ports() -> None:
    (step,) = PLANNER.plan(access(methods=("GET",)), Snapshot((*SERVED, BOOKS, POD)))
    source = {"source": {"serviceAccounts": ["shop/web"]}}
    assert step.object["spec"] == {
        "targetRefs": [{"kind": "Service", "group": "", "name": "books"}],
        "action": "ALLOW",
        "rules": [{"from": [source], "to": [{"operation": {"ports": ["80"], "methods": ["GET"]}}]}],
    }


def test_access_without_a_waypoint_selects_the_pods_and_their_ports() -> None:
    (step,) = PLANNER.plan(access(), Snapshot((AMBIENT, BOOKS, POD)))
    assert step.object["spec"]["selector"] == {"matchLabels": {"app": "books"}}
    assert step.object["spec"]["rules"][0]["to"] == [{"operation": {"ports": ["8080"]}}]


@pytest.mark.parametrize(
    ("mode", "home", "found"),
    [
        ("strict", "library", ["MK2115 warning mutual_tls.mode"]),
        ("strict", None, ["MK2115 warning mutual_tls.mode"]),
        ("disable", "library", ["MK2115 warning mutual_tls.mode"]),
        ("permissive", "library", []),
        ("strict", "shop", []),
    ],
)
def test_a_mode_that_is_not_watched_or_followed_there_is_said(
    mode: str, home: str | None, found: list[str]
) -> None:
    assert codes_of(MutualTLS.model_validate({"mode": mode, "namespace": home}), AMBIENT) == found


def test_injection_beside_workloads_that_ask_for_the_mode_is_a_warning() -> None:
    seen = (PLAIN, deployment(**{MODE: "ambient"}))
    assert codes_of(Injection(namespace="library"), *seen) == ["MK2111 warning Deployment library/books"]
    steps = PLANNER.plan(Injection(namespace="library"), Snapshot(seen))
    assert [step.kind.kind for step in steps] == ["Namespace"]
