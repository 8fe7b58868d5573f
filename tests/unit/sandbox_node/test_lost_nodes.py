"""How the controllers handle a lost node and its return, as Kubernetes' do."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.kube.nodes import POWERED_OFF
from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.objects import condition
from meshkit.sandbox.controllers.scheduling.placement import choose, refusal
from meshkit.sandbox.controllers.scheduling.taints import UNREACHABLE, evicted_after_s, untolerated
from meshkit.sandbox.node.agent import ZONES, node_object
from tests.unit.sandbox_node.stage import DEPLOYMENTS, deployment, play, rolled_out, until

A, B, C = ZONES
LOST = {"key": UNREACHABLE, "effect": "NoExecute"}
MAINTENANCE = {"key": "maintenance", "value": "tonight", "effect": "NoExecute"}


def tainted(*taints: dict[str, Any]) -> dict[str, Any]:
    node = node_object(A)
    return {**node, "spec": {**node["spec"], "taints": list(taints)}}


def pod(*tolerations: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "default", "uid": "u", "labels": {}}
    return {"metadata": meta, "spec": {"tolerations": list(tolerations)}}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "maintenance", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "maintenance", "value": "tonight"}, True),
        ({"key": "maintenance", "value": "tomorrow"}, False),
        ({"key": "maintenance", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_toleration_matches_by_key_value_and_effect(toleration: dict[str, Any], tolerated: bool) -> None:
    assert (untolerated(pod(toleration), tainted(MAINTENANCE)) is None) is tolerated


def test_how_long_a_pod_may_stay() -> None:
    an_hour = {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 3600}
    assert evicted_after_s(pod(), tainted(LOST), 1.0) == 1.0
    assert evicted_after_s(pod(), tainted(MAINTENANCE), 1.0) == 0.0
    assert evicted_after_s(pod(an_hour), tainted(LOST), 1.0) == 3600
    assert evicted_after_s(pod({"operator": "Exists"}), tainted(LOST), 1.0) is None
    assert evicted_after_s(pod(), tainted({**LOST, "effect": "NoSchedule"}), 1.0) is None


def test_a_tainted_node_takes_no_pod_that_does_not_tolerate_it() -> None:
    node = tainted(MAINTENANCE)
    assert choose(pod(), [node], []) is None
    assert refusal(pod(), [node], []) == (
        "0/1 nodes are available: 1 node(s) had untolerated taint {maintenance: tonight}."
    )
    assert choose(pod({"operator": "Exists"}), [node], []) == A


@pytest.mark.parametrize(("policy", "node"), [("Ignore", None), ("Honor", B)])
def test_a_lost_zone_counts_as_empty_unless_the_constraint_honours_taints(
    policy: str, node: str | None
) -> None:
    """Kubernetes' default leaves such a pod pending until the zone is back."""
    constraint = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "nodeTaintsPolicy": policy,
    }
    new = pod()
    new["metadata"]["labels"] = {"app": "web"}
    new["spec"] = {"topologySpreadConstraints": [constraint]}
    placed = [{**new, "spec": {"nodeName": name}} for name in (B, C)]
    assert choose(new, [tainted(LOST), node_object(B), node_object(C)], placed) == node


async def switch(client: LocalClient, name: str, *, off: bool) -> None:
    annotations = {POWERED_OFF: "true" if off else None}
    await client.merge_patch("nodes", name, None, {"metadata": {"annotations": annotations}})


async def ready_of(client: LocalClient, name: str) -> str:
    node = await client.get("nodes", name)
    found = condition(node, "Ready") if node else None
    return found["status"] if found else ""


async def nodes_in_use(client: LocalClient) -> list[str]:
    return [pod["spec"].get("nodeName", "") for pod in await client.list("pods", "default")]


def test_a_lost_nodes_pods_are_made_elsewhere_and_it_is_used_again(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DEPLOYMENTS, deployment("web:1"))
        await until(lambda: rolled_out(client))
        assert sorted(await nodes_in_use(client)) == [A, B, C]
        await switch(client, A, off=True)

        async def moved() -> bool:
            used = await nodes_in_use(client)
            return A not in used and len(used) == 3 and await rolled_out(client)

        await until(moved)
        assert await ready_of(client, A) == "Unknown"
        await switch(client, A, off=False)

        async def back() -> bool:
            node = await client.get("nodes", A)
            return bool(node and not node["spec"].get("taints")) and await ready_of(client, A) == "True"

        await until(back)
        await client.merge_patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 6}})
        await until(lambda: rolled_out(client))
        assert (await nodes_in_use(client)).count(A) >= 1

    play(client, scenario)


def test_a_pod_that_tolerates_the_loss_is_not_ready_and_stays(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        wanted = deployment("web:1", replicas=1)
        spec = wanted["spec"]["template"]["spec"]
        spec["tolerations"] = [{"key": UNREACHABLE, "operator": "Exists"}]
        await client.create(DEPLOYMENTS, wanted)
        await until(lambda: rolled_out(client))
        (node,) = await nodes_in_use(client)
        await switch(client, node, off=True)

        async def unready() -> bool:
            (found,) = await client.list("pods", "default")
            ready = condition(found, "Ready")
            return ready is not None and ready["status"] == "False"

        await until(unready)
        (found,) = await client.list("pods", "default")
        assert "deletionTimestamp" not in found["metadata"]

    play(client, scenario)
