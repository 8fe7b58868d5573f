"""What each mesh's planner makes of an Egress, and what its findings and effects say."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.checks.planned import preflight
from meshkit.checks.planned.schema import problems
from meshkit.cluster.executor import PlannedStep
from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.routing import capabilities
from meshkit.meshes.routing.planned import steps_of
from meshkit.operations.effects import effects_of
from tests.unit.meshes.meshed import sidecar
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects

MESHES = ("istio", "linkerd")
HOST = "payments.example.com"
HTTP = {"number": 80, "protocol": "http"}
TLS = {"number": 443, "protocol": "tls"}
REGISTRY_ONLY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
CALLERS = ("shop/client", "shop/web")


def egress(*ports: dict[str, Any], **fields: Any) -> Egress:
    given = {"namespace": "shop", "name": "payments", "hosts": [HOST], "ports": ports or (HTTP,)}
    return Egress(**{**given, **fields})


def planned(mesh: str, *intents: Intent, over: tuple[Object, ...] = ()) -> tuple[Step, ...]:
    steps = steps_of(intents, Snapshot(over), registry.mesh(mesh).planner)
    definitions = {(each["spec"]["group"], each["spec"]["names"]["kind"]): each for each in DEFINITIONS[mesh]}
    for step in steps:
        assert problems(step.object, definitions[step.kind.group, step.kind.kind]) == ()
    return steps


DEFINITIONS = {mesh: registry.mesh(mesh).crds() for mesh in MESHES}


def entry(name: str = "old", **spec: Any) -> dict[str, Any]:
    listed = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [HOST], "ports": listed, "resolution": "DNS", **spec},
    }


def network(policy: str = "Allow", manager: str = "", **spec: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "team", "namespace": "shop"}
    if manager:
        meta["managedFields"] = [{"manager": manager}]
    spec = {"trafficPolicy": policy, **spec}
    kind = {"apiVersion": "policy.linkerd.io/v1alpha1", "kind": "EgressNetwork"}
    return {**kind, "metadata": meta, "spec": spec}


def told(
    *intents: Intent, beside: tuple[Object, ...] = (), mesh: str = "istio"
) -> list[tuple[str, str, str]]:
    found = preflight.check(intents, Snapshot((sidecar(mesh), *beside)), mesh)
    return [(finding.code, finding.severity, finding.object) for finding in found]


def changes(mesh: str, *intents: Intent, beside: str = "") -> tuple[list[tuple[Any, ...]], str]:
    """The requests that the plan of an Egress changes, and what was not seen."""
    held = objects(mesh, WORKLOADS, {"istio": ISTIO, "linkerd": LINKERD}[mesh], beside)
    steps = [PlannedStep(step, "create", after=step.object) for step in planned(mesh, *intents)]
    found = effects_of(steps, cluster(Api(held), mesh), mesh)
    return [(e.callers, e.place, e.before, e.after) for e in found.changed], "\n".join(found.not_seen)


def test_istio_registers_the_hosts_for_the_callers_namespace() -> None:
    (step,) = planned("istio", egress(HTTP, TLS))
    assert step.object["spec"] == {
        "hosts": [HOST],
        "ports": [
            {"number": 80, "name": "http-80", "protocol": "HTTP"},
            {"number": 443, "name": "tls-443", "protocol": "TLS"},
        ],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "exportTo": ["."],
    }


def test_istio_calls_the_addresses_that_are_given_and_knows_tcp_by_them() -> None:
    tcp = {"number": 5432, "protocol": "tcp"}
    (step,) = planned("istio", egress(tcp, addresses=["192.0.2.10"], callers="mesh"))
    spec = step.object["spec"]
    assert (spec["addresses"], spec["resolution"]) == (["192.0.2.10"], "STATIC")
    assert (spec["endpoints"], spec["exportTo"]) == ([{"address": "192.0.2.10"}], ["*"])


def test_istio_leaves_hosts_of_a_pattern_where_the_caller_has_found_them() -> None:
    (step,) = planned("istio", egress(TLS, hosts=["*.example.com"]))
    assert step.object["spec"]["resolution"] == "NONE"


def test_linkerd_lets_hosts_through_before_it_refuses_others() -> None:
    steps = planned("linkerd", egress(HTTP, {"number": 8443, "protocol": "grpc"}, others="refuse"))
    assert [(step.title, step.object["spec"].get("trafficPolicy")) for step in steps] == [
        ("EgressNetwork shop/egress", "Allow"),
        ("HTTPRoute shop/payments-80", None),
        ("HTTPRoute shop/payments-8443", None),
        ("EgressNetwork shop/egress", "Deny"),
    ]
    assert [step.settle_s for step in steps] == [0, 0, 1, 0]
    assert steps[1].object["spec"] == {
        "parentRefs": [{"group": "policy.linkerd.io", "kind": "EgressNetwork", "name": "egress", "port": 80}],
        "hostnames": [HOST],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}],
    }


def test_egresses_of_one_namespace_share_linkerds_network() -> None:
    other = egress(name="mail", hosts=["mail.example.com"])
    steps = planned("linkerd", egress(others="refuse"), other)
    assert [(step.title, step.object["spec"].get("trafficPolicy")) for step in steps] == [
        ("EgressNetwork shop/egress", "Allow"),
        ("HTTPRoute shop/payments-80", None),
        ("HTTPRoute shop/mail-80", None),
        ("EgressNetwork shop/egress", "Deny"),
    ]


def test_a_network_of_others_is_used_and_stays_as_it_is() -> None:
    held = (network("Deny", "team"), network("Allow", "team", networks=[{"cidr": "192.0.2.0/24"}]))
    (step,) = planned("linkerd", egress(), over=held)
    assert step.object["spec"]["parentRefs"][0]["name"] == "team"
    with pytest.raises(BadInput) as refused:
        planned("linkerd", egress(others="allow"), over=held)
    assert refused.value.field == "egress.others"
    assert "team" in str(refused.value)


@pytest.mark.parametrize(
    ("mesh", "fields", "field"),
    [
        ("istio", {"others": "refuse"}, "egress.others"),
        ("linkerd", {"ports": [HTTP, TLS]}, "egress.ports[1].protocol"),
        ("linkerd", {"addresses": ["192.0.2.10"]}, "egress.addresses"),
        ("linkerd", {"callers": "mesh"}, "egress.callers"),
        ("linkerd", {"ports": [{**HTTP, "target_port": 443}]}, "egress.ports[0].target_port"),
    ],
)
def test_what_a_mesh_lacks_is_refused_with_what_it_has(mesh: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        planned(mesh, egress(**fields))
    assert (refused.value.field, bool(refused.value.remedy)) == (field, True)


@pytest.mark.parametrize("mesh", MESHES)
def test_limits_name_fields_of_an_egress(mesh: str) -> None:
    known = {place for place, _ in capabilities.places(Egress)}
    assert set(registry.mesh(mesh).planner.egress_limits) <= known


def test_a_host_that_another_entry_registers_is_refused() -> None:
    assert told(egress(), beside=(entry(),))[0] == ("MK0244", "error", "egress.hosts[0]")
    assert [code for code, *_ in told(egress(), beside=(entry("payments"),))] == ["MK0245"]
    elsewhere = entry(exportTo=["other"])
    assert [code for code, *_ in told(egress(), beside=(elsewhere,))] == ["MK0245"]


@pytest.mark.parametrize(
    ("mesh", "fields", "beside", "words"),
    [
        ("istio", {}, (), "leave the mesh as they are (meshConfig.outboundTrafficPolicy.mode: ALLOW_ANY)"),
        ("istio", {}, tuple(objects("istio", REGISTRY_ONLY)), "502"),
        ("linkerd", {}, (), "leave the mesh as they are (EgressNetwork shop/egress)"),
        ("linkerd", {"others": "refuse"}, (), "403"),
        ("linkerd", {}, (network("Deny"),), "(EgressNetwork shop/team)"),
    ],
)
def test_a_plan_tells_what_happens_to_other_hosts(
    mesh: str, fields: dict[str, Any], beside: tuple[Object, ...], words: str
) -> None:
    (finding,) = preflight.check((egress(**fields),), Snapshot((sidecar(mesh), *beside)), mesh)
    assert (finding.code, finding.severity) == ("MK0245", "info")
    assert words in finding.message


def test_egresses_of_one_plan_do_not_overwrite_each_other() -> None:
    other = egress(name="mail", hosts=["mail.example.com"], others="allow")
    assert ("MK0246", "error", "egress.name") in told(egress(), egress(), mesh="linkerd")
    assert ("MK0246", "error", "egress.others") in told(egress(others="refuse"), other, mesh="linkerd")
    assert "MK0246" not in [code for code, *_ in told(egress(), other, mesh="linkerd")]


def test_tls_to_a_host_is_planned_together_with_its_egress() -> None:
    policy = DestinationPolicy(namespace="shop", host=HOST, port=80, tls={})
    wanted = egress({**HTTP, "target_port": 443})
    assert [code for code, *_ in told(wanted, policy)] == ["MK0245"]
    assert [step.kind.kind for step in planned("istio", policy, wanted)] == [
        "ServiceEntry",
        "DestinationRule",
    ]
    with pytest.raises(BadInput, match="TLS within TLS"):
        planned("istio", DestinationPolicy(namespace="shop", host=HOST, port=443, tls={}), egress(TLS))


def test_a_registered_host_no_longer_leaves_istio_as_it_is() -> None:
    found, not_seen = changes("istio", egress(addresses=["127.0.0.9"]))
    ((callers, place, before, after),) = found
    assert (callers, place, before) == (CALLERS, f"{HOST}:80", ("leaves the mesh as it is",))
    assert after[0] == f"100 % {HOST}:80 (plaintext)"
    assert not_seen == ""


def test_a_host_becomes_possible_where_istio_refuses_others() -> None:
    found, _ = changes("istio", egress(), beside=REGISTRY_ONLY)
    ((callers, place, before, after),) = found
    assert (callers, place) == (CALLERS, f"{HOST}:80")
    assert "502" in before[0]
    assert after[0] == f"100 % {HOST}:80"


def test_linkerd_refuses_all_other_hosts() -> None:
    found, not_seen = changes("linkerd", egress(others="refuse"))
    assert [(place, before) for _, place, before, _ in found] == [
        (f"{HOST}:80", ("leaves the mesh as it is",)),
        ("hosts that are not registered", ("leaves the mesh as it is",)),
    ]
    assert found[0][3] == (f"100 % {HOST}:80",)
    assert "403" in found[1][3][0]
    assert not_seen == ""


def test_linkerd_changes_no_other_host_if_they_are_allowed() -> None:
    found, not_seen = changes("linkerd", egress(others="allow"))
    assert [place for _, place, *_ in found] == [f"{HOST}:80"]
    assert not_seen == ""
