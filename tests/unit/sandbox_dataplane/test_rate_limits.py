"""Linkerd's HTTPLocalRateLimitPolicy, enforced by real Envoys: total, each identity, and overrides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshkit.meshes.linkerd.meaning import authorization, policy_problems, rate_limits
from meshkit.meshes.model.inbound import CallerLimit, RateLimit
from tests.unit.sandbox_dataplane.callers import CLIENT, PLAIN, WEB, only_v2, status
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop

LIMITS = "httplocalratelimitpolicies.policy"
SERVER = {
    "metadata": {"name": "web-8080", "namespace": "shop", "uid": "s", "generation": 1},
    "spec": {
        "podSelector": {"matchLabels": {"version": "v2"}},
        "port": 8080,
        "accessPolicy": "all-unauthenticated",
    },
}
AT_A_TIME = 12


def limit(name: str = "web", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "uid": name, "generation": 1, "creationTimestamp": created}
    target = {"group": "policy.linkerd.io", "kind": "Server", "name": "web-8080"}
    return {"metadata": meta, "spec": {"targetRef": target, **spec}}


def rate(rps: int) -> dict[str, int]:
    return {"requestsPerSecond": rps}


def of_client(rps: int) -> dict[str, Any]:
    return {**rate(rps), "clientRefs": [{"kind": "ServiceAccount", "name": "client"}]}


async def refused(mesh: MiniMesh, caller: str) -> bool:
    """Whether some of many requests at once are answered with 429, and the others with 200."""
    found = set(await asyncio.gather(*(status(mesh, caller) for _ in range(AT_A_TIME))))
    assert found <= {200, 429}
    return 429 in found


def test_what_exceeds_a_limit_is_answered_with_429(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], Mapping[str, bool]]] = [
        ({"total": rate(2)}, {CLIENT: True, PLAIN: True}),
        ({"identity": rate(2)}, {CLIENT: True, WEB: True, PLAIN: True}),
        ({"identity": rate(2), "overrides": [of_client(500)]}, {CLIENT: False, WEB: True, PLAIN: True}),
        ({"overrides": [of_client(2)]}, {CLIENT: True, WEB: False, PLAIN: False}),
        ({"total": rate(500)}, {CLIENT: False, WEB: False}),
        ({"total": rate(0)}, {CLIENT: False}),
    ]

    async def main() -> None:
        async with shop("linkerd", tmp_path) as mesh:
            only_v2(mesh)
            for spec, expected in cases:
                mesh.objects |= {"servers.policy": [SERVER], LIMITS: [limit(**spec)]}
                await mesh.apply()
                for caller in (CLIENT, WEB):  # connections from before have one more answer
                    await refused(mesh, caller)
                assert {caller: await refused(mesh, caller) for caller in expected} == expected, spec

    asyncio.run(main())


def test_identities_have_buckets_of_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop("linkerd", tmp_path) as mesh:
            only_v2(mesh)
            mesh.objects |= {"servers.policy": [SERVER], LIMITS: [limit(identity=rate(2))]}
            await mesh.apply()
            assert await refused(mesh, CLIENT)
            assert await status(mesh, WEB) == 200
            assert await status(mesh, PLAIN) == 200

    asyncio.run(main())


def test_the_oldest_policy_of_a_server_counts_and_others_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop("linkerd", tmp_path) as mesh:
            younger = limit("later", "2026-02-01T00:00:00Z", total=rate(9))
            astray = limit("astray", total=rate(9))
            astray["spec"]["targetRef"] = {**astray["spec"]["targetRef"], "name": "gone"}
            of_tcp = limit("of-tcp", total=rate(9))
            of_tcp["spec"]["targetRef"] = {**of_tcp["spec"]["targetRef"], "name": "tcp"}
            tcp = {"metadata": {**SERVER["metadata"], "name": "tcp", "uid": "t"}}
            tcp["spec"] = {**SERVER["spec"], "port": 9000, "proxyProtocol": "opaque"}
            mesh.objects |= {
                "servers.policy": [SERVER, tcp],
                LIMITS: [younger, limit(total=rate(2), overrides=[of_client(7)]), astray, of_tcp],
            }
            registry = mesh.registry()
            client = "client.shop.serviceaccount.identity.linkerd.cluster.local"
            assert rate_limits.of_server(registry, SERVER) == RateLimit(
                "web", 2, None, (CallerLimit((client,), 7),)
            )
            told = {p.object["metadata"]["name"]: p.message for p in policy_problems.problems(registry)}
            assert {"later", "astray", "of-tcp"} <= told.keys()
            assert "web" not in told
            pod = next(p for p in registry.of("pods") if p["metadata"]["labels"].get("version") == "v2")
            (port,) = (each for each in authorization.inbound(registry, pod) if each.port == 8080)
            assert port.limit
            assert (port.limit.of(client), port.limit.of(None)) == (2, 2)

    asyncio.run(main())
