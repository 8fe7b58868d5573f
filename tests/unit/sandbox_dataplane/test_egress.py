"""The plan of an Egress decides about requests to hosts outside, through real Envoys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from meshkit.facts import Snapshot
from meshkit.intent.edges.egress import Egress
from meshkit.meshes import registry
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.registry import Registry
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop

HOST, OTHER = "payments.example.com", "other.example.com"
RESOURCES = {
    "ServiceEntry": "serviceentries",
    "EgressNetwork": "egressnetworks.policy",
    "HTTPRoute": "httproutes",
}


def objects(mesh: str, port: int = 80, **fields: Any) -> dict[str, list[dict[str, Any]]]:
    """The objects that an Egress becomes, each as it is written at last."""
    intent = Egress(
        namespace="shop",
        name="payments",
        hosts=[HOST],
        ports=[{"number": port, "protocol": "http"}],
        **fields,
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for step in registry.mesh(mesh).planner.plan(intent, Snapshot(())):
        found[RESOURCES[step.object["kind"]]] = [
            {**step.object, "metadata": {"uid": step.name, "generation": 1, **step.object["metadata"]}}
        ]
    return found


async def status(mesh: MiniMesh, url: str) -> int:
    return (await mesh.get("client", url))[0]


def test_istio_calls_a_registered_host_at_its_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop("istio", tmp_path) as mesh:
            address = await mesh.pod("outside", meshed=False, app="outside")
            mesh.objects.update(objects("istio", 8080, addresses=[address]))
            await mesh.apply()
            assert await mesh.get("client", f"http://{HOST}:8080/") == (200, "outside")
            assert await status(mesh, f"http://{OTHER}:8080/") == 503

    asyncio.run(main())


def test_linkerd_refuses_other_hosts_and_lets_named_ones_pass(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop("linkerd", tmp_path) as mesh:
            mesh.objects.update(objects("linkerd", others="refuse"))
            await mesh.apply()
            assert await status(mesh, f"http://{HOST}/") == 503  # it passes, and the name has no address
            assert await status(mesh, f"http://{OTHER}/") == 403
            assert await status(mesh, f"http://{HOST}:8080/") == 403
            assert await status(mesh, "http://web:8080/") == 200
            mesh.objects.update(objects("linkerd", others="allow"))
            await mesh.apply()
            assert await status(mesh, f"http://{OTHER}/") == 503

    asyncio.run(main())


def outside(caller: str = "shop", **held: list[dict[str, Any]]) -> dict[str, list[int | None]]:
    """The status of the proxy's own answer for each host, None for one that passes."""
    named = {key.replace("__", "."): items for key, items in held.items()}
    found = linkerd.outbound(Registry(named, "linkerd"), caller)
    return {
        host.domains[0]: [route.direct.status if route.direct else None for route in host.routes]
        for host in found.hosts
    }


def network(name: str = "all", namespace: str = "shop", policy: str = "Deny", **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": name}
    return {"kind": "EgressNetwork", "metadata": meta, "spec": {"trafficPolicy": policy, **spec}}


def route(*hosts: str, name: str = "r", rules: list[Any] | None = None, **parent: Any) -> dict[str, Any]:
    on = {"group": "policy.linkerd.io", "kind": "EgressNetwork", "name": "all", "port": 80, **parent}
    meta = {"name": name, "namespace": "shop", "uid": name}
    return {"metadata": meta, "spec": {"parentRefs": [on], "hostnames": list(hosts), "rules": rules or [{}]}}


def test_a_caller_has_the_networks_of_its_namespace_or_those_for_everyone() -> None:
    general = network(namespace="linkerd-egress")
    assert outside("other", egressnetworks__policy=[network()]) == {}
    assert outside("other", egressnetworks__policy=[network(policy="Allow"), general]) == {"*": [404, 403]}
    assert outside(egressnetworks__policy=[network(policy="Allow"), general]) == {"*": [404, 503]}


def test_a_network_for_some_addresses_is_told_and_not_followed() -> None:
    some = network(networks=[{"cidr": "192.0.2.0/24"}])
    held = Registry({"egressnetworks.policy": [some]}, "linkerd")
    found = linkerd.outbound(held, "shop")
    assert found.hosts == ()
    assert [problem.reason for problem in found.problems] == ["NotSupported"]


def test_routes_take_their_hosts_and_paths_and_the_rest_follows_the_network() -> None:
    rules = [{"matches": [{"path": {"value": "/get"}}]}]
    held = {
        "egressnetworks__policy": [network()],
        "httproutes": [
            route("a.example", rules=rules),
            route("*.example", name="wide"),
            route("b.example", name="elsewhere", port=8080),
            route("c.test", name="c", port=81),
        ],
    }
    assert outside(**held) == {
        "*.example": [None, 403],
        "a.example": [None, None, 403],
        "b.example:8080": [None, 403],
        "c.test:81": [None, 403],
        "*": [404, 403],
    }


def test_linkerd_tells_whether_the_network_of_a_route_is_there() -> None:
    held = {"egressnetworks.policy": [network()], "httproutes": [route("a.example"), route("b.example")]}
    held["httproutes"][1]["spec"]["parentRefs"][0]["name"] = "none"
    told = [
        [(one.type, one.holds, one.reason) for one in parent.conditions]
        for each in linkerd.statuses(Registry(held, "linkerd"))
        for parent in each.parents
    ]
    resolved = ("ResolvedRefs", True, "ResolvedRefs")
    assert told == [
        [("Accepted", True, "Accepted"), resolved],
        [("Accepted", False, "NoMatchingParent"), resolved],
    ]
