"""Mutual TLS, identities and who may call whom: the same objects before the real istiod with pilot-agents,
and before the sandbox. A case is a file: objects, and the status that each caller gets (0: no connection).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from meshkit.cluster.connect import connect
from meshkit.facts import Object
from tests.conformance.cluster import RealCluster
from tests.conformance.definitions import serve
from tests.conformance.identity.agents import HOST, PLAIN, RealMesh, running_mesh
from tests.conformance.routes.istiod import crds
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, service

CASES = {
    path.stem: json.loads(json.dumps(yaml.safe_load(path.read_text())))  # keys are strings in JSON
    for path in sorted(Path(__file__).parent.glob("cases/*"))
}
SERVICE = "web.shop.svc.cluster.local"
"""What cases call the service; on the real API server it is a ServiceEntry of another name."""
PLURAL = {
    "PeerAuthentication": "peerauthentications",
    "AuthorizationPolicy": "authorizationpolicies",
    "DestinationRule": "destinationrules",
}


@pytest.fixture(scope="module")
def real(real_cluster: RealCluster, part: Callable[[str], Path]) -> Iterator[RealMesh]:
    api = connect(kubeconfig=real_cluster.kubeconfig).api
    for name in ("pilot-discovery", "pilot-agent"):
        part(name)
    definitions = crds(part("istioctl"))
    # Ingress has no definition there: the real API server has the kind itself.
    serve(api, (one for one in definitions if not one["metadata"]["name"].endswith("networking.k8s.io")))
    for name in ("istio-system", "shop"):
        api.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="conformance"
        )
    with running_mesh(real_cluster) as mesh:
        yield mesh


@pytest.mark.parametrize("case", CASES)
def test_case(real: RealMesh, case: str, tmp_path: Path) -> None:
    expected, objects = CASES[case]["statuses"], CASES[case]["objects"]
    with real.objects([renamed(each) for each in objects]):
        assert real.answers(expected) == expected, "the real istiod"
    assert asyncio.run(of_sandbox(objects, tmp_path)) == expected, "the sandbox"


def renamed(obj: Object) -> Object:
    """With the service's name on the real API server."""
    there: Object = yaml.safe_load(yaml.safe_dump(obj).replace(SERVICE, HOST))
    return there


def test_certificates_name_the_account(real: RealMesh) -> None:
    for name, agent in real.agents.items():
        assert set(agent.identities()) == {f"spiffe://cluster.local/ns/shop/sa/{name}"}


async def of_sandbox(objects: list[Object], directory: Path) -> dict[str, int]:
    """What the callers get from the sandbox's proxies."""
    mesh = MiniMesh("istio", directory)
    try:
        await asyncio.gather(
            *(mesh.pod(name, account=name, app=name) for name in ("web", "client", "stranger"))
        )
        mesh.objects["services"] = [service()]
        for number, each in enumerate(objects):
            meta = {**each["metadata"], "uid": str(number), "generation": 1}
            mesh.objects[PLURAL[each["kind"]]].append({**each, "metadata": meta})
        await mesh.apply()
        return {caller: await status(mesh, caller) for caller in ("client", "stranger", PLAIN)}
    finally:
        await mesh.close()


async def status(mesh: MiniMesh, caller: str) -> int:
    if caller != PLAIN:
        return (await mesh.get(caller))[0]
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://{mesh.address('web')}:8080/") as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


def test_the_cases_are_many_and_say_what_they_are_about() -> None:
    assert len(CASES) >= 12
    wanted: set[str] = {"about", "objects", "statuses"}
    assert all(set(case) == wanted for case in CASES.values())
    kinds: set[Any] = {each["kind"] for case in CASES.values() for each in case["objects"]}
    assert kinds == set(PLURAL)
