"""Which node takes a pod: selectors, cordons and topology spread."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.scheduling.placement import choose, refusal
from meshkit.sandbox.node.agent import node_object
from tests.unit.sandbox_node.stage import DEPLOYMENTS, deployment, play, until

A, B, C = "sandbox-a", "sandbox-b", "sandbox-c"
NODES = [node_object(name) for name in (A, B, C)]
ZONE = "topology.kubernetes.io/zone"


def spread(**more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
        **more,
    }


def pod(node: str = "", *constraints: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": "web", "pod-template-hash": spec.pop("hashed", "1")}
    meta = {"name": "p", "namespace": "default", "uid": "u", "labels": labels}
    spec |= {"topologySpreadConstraints": list(constraints)} if constraints else {}
    return {"metadata": meta, "spec": {**spec, **({"nodeName": node} if node else {})}}


def cordoned(*names: str) -> list[dict[str, Any]]:
    return [
        {**node, "spec": {**node["spec"], "unschedulable": node["metadata"]["name"] in names}}
        for node in NODES
    ]


def test_the_zone_with_the_fewest_takes_the_next() -> None:
    assert choose(pod("", spread()), NODES, [pod(A), pod(B)]) == C


def test_a_zone_may_lead_by_the_skew_and_no_more() -> None:
    nodes = cordoned(B, C)
    assert choose(pod("", spread()), nodes, []) == A
    assert choose(pod("", spread()), nodes, [pod(A)]) is None
    assert choose(pod("", spread(maxSkew=2)), nodes, [pod(A)]) == A
    assert choose(pod("", spread(whenUnsatisfiable="ScheduleAnyway")), nodes, [pod(A)]) == A


def test_only_the_nodes_that_the_pod_may_use_count_as_zones() -> None:
    only_a = {ZONE: "zone-a"}
    assert choose(pod("", spread(), nodeSelector=only_a), NODES, [pod(A), pod(A)]) == A


def test_fewer_zones_than_asked_for_count_as_an_empty_one() -> None:
    only_a = {ZONE: "zone-a"}
    wanted = pod("", spread(minDomains=2), nodeSelector=only_a)
    assert choose(wanted, NODES, [pod(A)]) is None


def test_pods_of_another_template_count_unless_told_apart() -> None:
    old = [pod(A, hashed="0"), pod(A, hashed="0")]
    nodes = cordoned(B, C)
    assert choose(pod("", spread()), nodes, old) is None
    assert choose(pod("", spread(matchLabelKeys=["pod-template-hash"])), nodes, old) == A


def test_nodes_without_the_key_are_out() -> None:
    assert choose(pod("", spread(topologyKey="rack")), NODES, []) is None


def test_a_preferred_spread_comes_before_empty_nodes() -> None:
    others = [{**pod(C), "metadata": {**pod(C)["metadata"], "labels": {}}} for _ in range(3)]
    anyway = spread(whenUnsatisfiable="ScheduleAnyway")
    assert choose(pod("", anyway), NODES, [pod(A), pod(B), *others]) == C
    assert choose(pod(""), NODES, [pod(A), pod(B), *others]) == A


def test_the_refusal_counts_nodes_by_reason() -> None:
    text = refusal(pod("", spread(), nodeSelector={"kubernetes.io/os": "linux"}), cordoned(B, C), [pod(A)])
    assert text == (
        "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, "
        "2 node(s) were unschedulable."
    )
    assert "3 node(s) didn't match Pod's node affinity/selector" in refusal(
        pod("", nodeSelector={"disk": "ssd"}), NODES, []
    )


@pytest.mark.parametrize("unsatisfiable", ["DoNotSchedule", "ScheduleAnyway"])
def test_a_deployment_on_one_open_node_waits_only_where_it_must(
    client: LocalClient, unsatisfiable: str
) -> None:
    async def scenario(client: LocalClient) -> None:
        for name in (B, C):
            await client.merge_patch("nodes", name, None, {"spec": {"unschedulable": True}})
        web = deployment("web:1", replicas=2)
        constraint = spread(whenUnsatisfiable=unsatisfiable)
        web["spec"]["template"]["spec"]["topologySpreadConstraints"] = [constraint]
        await client.create(DEPLOYMENTS, web)
        placed = 1 if unsatisfiable == "DoNotSchedule" else 2

        async def settled() -> bool:
            pods = await client.list("pods")
            told = [each for each in await client.list("events") if each["reason"] == "FailedScheduling"]
            return sum("nodeName" in each["spec"] for each in pods) == placed and len(told) == 2 - placed

        await until(settled)
        await client.merge_patch("nodes", B, None, {"spec": {"unschedulable": None}})

        async def everywhere() -> bool:
            return all("nodeName" in each["spec"] for each in await client.list("pods"))

        await until(everywhere)

    play(client, scenario)


@pytest.mark.parametrize(
    ("field", "requirement", "expected"),
    [
        ("matchFields", {"key": "metadata.name", "operator": "In", "values": [B]}, B),
        ("matchExpressions", {"key": ZONE, "operator": "NotIn", "values": ["zone-a", "zone-b"]}, C),
        ("matchExpressions", {"key": "size", "operator": "Gt", "values": ["5"]}, C),
        ("matchExpressions", {"key": "size", "operator": "Lt", "values": ["5"]}, B),
        ("matchExpressions", {"key": "size", "operator": "DoesNotExist"}, A),
        ("matchExpressions", {"key": "size", "operator": "Gt", "values": ["--5"]}, None),
        ("matchExpressions", {"key": "size", "operator": "Lt", "values": ["9" * 5000]}, None),
    ],
)
def test_required_node_affinity_is_obeyed(
    field: str, requirement: dict[str, Any], expected: str | None
) -> None:
    sizes = {B: "3", C: "8"}
    nodes = [
        {**node, "metadata": {**node["metadata"], "labels": {**node["metadata"]["labels"], **size}}}
        for node in NODES
        for size in [{"size": sizes[node["metadata"]["name"]]} if node["metadata"]["name"] in sizes else {}]
    ]
    term = {field: [requirement]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert choose(pod(affinity={"nodeAffinity": required}), nodes, []) == expected


def test_a_cordoned_node_takes_pods_that_tolerate_it() -> None:
    toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    assert choose(pod(tolerations=[toleration]), cordoned(A, B, C), []) == A
