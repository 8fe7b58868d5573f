"""``Access``: what both meshes read from the cluster, and what they refuse before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.document import load_intents
from meshkit.intent.security import Access, Caller
from meshkit.meshes.base import MeshPlanner
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import planner as linkerd
from meshkit.meshes.linkerd.access import SERVER
from meshkit.meshes.linkerd.meaning.authorization import INBOUND_POLICY

PLANNERS = pytest.mark.parametrize("planner", [istio.PLANNER, linkerd.PLANNER], ids=lambda p: p.mesh)
CLIENT = Caller(namespace="shop", service_account="client")


def access(**fields: Any) -> Access:
    return Access(**{"namespace": "shop", "service": "web", "callers": (CLIENT,), **fields})


def service(name: str = "web", *ports: dict[str, Any], **selector: str) -> dict[str, Any]:
    spec = {
        "selector": selector or {"app": "web"},
        "ports": list(ports) or [{"port": 80, "targetPort": 8080}],
    }
    return {"kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def deployment(name: str, account: str) -> dict[str, Any]:
    spec = {"template": {"spec": {"serviceAccountName": account}}}
    return {"kind": "Deployment", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def pod(**labels: str) -> dict[str, Any]:
    container = {"name": "app", "ports": [{"name": "web", "containerPort": 8081}]}
    meta = {"name": "web-1", "namespace": "shop", "labels": labels or {"app": "web"}}
    return {"kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


@PLANNERS
@pytest.mark.parametrize(
    ("objects", "fields", "field", "problem"),
    [
        ((), {}, "access.service", "there is no Service shop/web"),
        ((service(),), {"port": 81}, "access.port", "has no port 81"),
        ((service("web", {"port": 80, "targetPort": "web"}),), {}, "access.service", "leads to 'web'"),
        (
            (service("web", {"port": 80, "appProtocol": "tcp"}),),
            {"paths": ("/a",)},
            "access.paths",
            "cannot do this",
        ),
        (
            (service(), deployment("client", "one"), deployment("other", "one")),
            {"callers": (CLIENT, Caller(namespace="shop", workload="client"))},
            "access.callers[1].workload",
            "runs as the ServiceAccount one, as other does",
        ),
        (
            (service(),),
            {"callers": (Caller(namespace="shop", workload="gone"),)},
            "access.callers[0].workload",
            "there is no Deployment shop/gone",
        ),
    ],
)
def test_what_cannot_hold_is_refused(
    planner: MeshPlanner, objects: tuple[Any, ...], fields: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem) as raised:
        planner.plan(access(**fields), Snapshot(objects))
    assert raised.value.field == field


@PLANNERS
def test_a_service_without_a_selector_is_refused(planner: MeshPlanner) -> None:
    bare = service()
    del bare["spec"]["selector"]
    with pytest.raises(BadInput, match="selects no pods"):
        planner.plan(access(), Snapshot((bare,)))


@PLANNERS
def test_ports_that_other_services_offer_on_the_same_pods_are_closed_too(planner: MeshPlanner) -> None:
    admin = service("admin", {"port": 81, "targetPort": 9091}, tier="web")
    other = service("other", {"port": 82, "targetPort": 9999}, app="other")
    seen = Snapshot((service(), admin, other, pod(app="web", tier="web")))
    steps = planner.plan(access(), seen)
    if planner.mesh == "istio":
        *_, rest = steps[0].object["spec"]["rules"]
        assert rest == {"to": [{"operation": {"notPorts": ["8080", "9091"]}}]}
    else:
        assert [s.object["spec"]["port"] for s in steps if s.kind == SERVER] == [8080, 9091]


def test_linkerd_closes_a_port_last() -> None:
    kinds = [step.kind.kind for step in linkerd.PLANNER.plan(access(paths=("/a",)), Snapshot((service(),)))]
    assert kinds[-1] == "Server"
    assert kinds.count("Server") == 1


def test_linkerd_refuses_a_second_server_on_a_port() -> None:
    spec = {"podSelector": {"matchLabels": {"app": "web"}}, "port": 8080}
    server = {"kind": "Server", "metadata": {"name": "mine", "namespace": "shop"}, "spec": spec}
    with pytest.raises(BadInput, match="Server shop/mine already rules port 8080"):
        linkerd.PLANNER.plan(access(), Snapshot((service(), pod(), server)))


@pytest.mark.parametrize("annotated", ["Service", "Pod"])
def test_linkerd_takes_no_paths_on_an_opaque_port(annotated: str) -> None:
    served, server = service(), pod(app="web")
    opaque = served if annotated == "Service" else server
    opaque["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": "80,8080"}
    seen = Snapshot((served, server))
    with pytest.raises(BadInput, match="for plain TCP because of the") as raised:
        linkerd.PLANNER.plan(access(paths=("/a",)), seen)
    assert raised.value.field == "access.paths"
    assert linkerd.PLANNER.plan(access(), seen)


def test_linkerd_refuses_more_than_a_route_holds() -> None:
    paths = tuple(f"/{number}" for number in range(33))
    with pytest.raises(BadInput, match="Use several Access"):
        linkerd.PLANNER.plan(access(paths=paths, methods=("GET", "POST")), Snapshot((service(),)))


def test_istio_refuses_paths_on_a_port_that_it_never_detects() -> None:
    database = service("web", {"name": "db", "port": 3306})
    with pytest.raises(BadInput, match="Port 3306 is tcp, not HTTP"):
        istio.PLANNER.plan(access(paths=("/a",)), Snapshot((database,)))


def test_istio_splits_more_accounts_than_a_source_holds() -> None:
    callers = tuple(Caller(namespace="shop", service_account=f"a{number}") for number in range(20))
    (step,) = istio.PLANNER.plan(access(callers=callers), Snapshot((service(),)))
    sources = step.object["spec"]["rules"][0]["from"]
    assert [len(entry["source"]["serviceAccounts"]) for entry in sources] == [16, 4]


def test_it_can_be_written_down() -> None:
    text = """
kind: Access
namespace: shop
service: web
port: 80
callers:
  - namespace: shop
    service_account: client
paths: [/api/*]
methods: [GET]
"""
    assert load_intents(text) == [access(port=80, paths=("/api/*",), methods=("GET",))]


def on_trial(*default_policies: str, servers: tuple[Any, ...] = ()) -> str:
    """The accessPolicy of Linkerd's Server in shadow mode, for pods with these default policies."""
    pods = []
    for number, policy in enumerate(default_policies):
        made = pod()
        made["metadata"] |= {"name": f"web-{number}", "annotations": {INBOUND_POLICY: policy}}
        pods.append(made)
    steps = linkerd.PLANNER.plan(access(mode="shadow"), Snapshot((service(), *pods, *servers)))
    return str(steps[-1].object["spec"]["accessPolicy"])


def test_a_shadow_lets_in_nobody_whom_the_pods_refuse() -> None:
    assert on_trial("all-unauthenticated") == on_trial("audit", "all-unauthenticated") == "audit"
    assert on_trial("all-authenticated", "all-authenticated") == "all-authenticated"
    for policies in (("deny",), ("all-authenticated", "all-unauthenticated")):
        with pytest.raises(BadInput, match=r"access\.mode"):
            on_trial(*policies)


def test_linkerd_does_not_open_a_closed_port_for_a_shadow() -> None:
    enforced = linkerd.PLANNER.plan(access(), Snapshot((service(), pod())))[-1].object
    with pytest.raises(BadInput, match="is closed already"):
        on_trial("all-unauthenticated", servers=(enforced,))
    shadow = linkerd.PLANNER.plan(access(mode="shadow"), Snapshot((service(), pod())))[-1].object
    assert on_trial("all-unauthenticated", servers=(shadow,)) == "audit"


@pytest.mark.parametrize("until", ["2027-02-30", "soon", "31.3.2027"])
def test_an_end_that_is_no_date_is_refused(until: str) -> None:
    with pytest.raises(BadInput, match=r"access\.until.*is not a date"):
        access(until=until)
