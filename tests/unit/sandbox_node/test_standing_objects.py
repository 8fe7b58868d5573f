"""The objects that a cluster keeps for clients: Endpoints of Services and APIServices of what is served."""

from __future__ import annotations

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.schema.registry import CRDS
from tests.unit.sandbox_api.conftest import WIDGETS
from tests.unit.sandbox_node.stage import DEPLOYMENTS, deployment, play, until

API_SERVICES = "apiservices.apiregistration.k8s.io"


def test_a_service_has_endpoints_as_it_has_slices(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        spec = {"selector": {"app": "web"}, "ports": ports}
        await client.create("services", {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        await client.create(DEPLOYMENTS, deployment("web:1", replicas=2))

        async def listed() -> bool:
            found = await client.get("endpoints", "web", "default") or {}
            return [len(each.get("addresses", ())) for each in found.get("subsets") or ()] == [2]

        await until(listed)
        found = await client.get("endpoints", "web", "default")
        assert found is not None
        (subset,) = found["subsets"]
        assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert subset["addresses"][0]["targetRef"]["kind"] == "Pod"
        await client.delete("services", "web", "default")

        async def gone() -> bool:
            return await client.get("endpoints", "web", "default") is None

        await until(gone)

    play(client, scenario)


def test_every_served_version_has_an_api_service(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        async def are_listed(*names: str) -> bool:
            found = {each["metadata"]["name"] for each in await client.list(API_SERVICES)}
            return set(names) <= found and ("v1.example.com" in names) == ("v1.example.com" in found)

        await until(lambda: are_listed("v1.", "v1.apps", "v2.autoscaling"))
        service = await client.get(API_SERVICES, "v1.apps")
        assert service is not None
        assert service["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
        assert [each["reason"] for each in service["status"]["conditions"]] == ["Local"]
        await client.create(CRDS, WIDGETS)
        await until(lambda: are_listed("v1.example.com"))
        await client.delete(CRDS, "widgets.example.com")
        await until(lambda: are_listed("v1.apps"))

    play(client, scenario)
