"""Istio's load balancing, locality and connection policies: meaning first, then through a real Envoy."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest

from meshkit.meshes.istio.meaning.destinations.load_balancing import distributed, priorities
from meshkit.meshes.istio.meaning.hosts import Workload
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.outbound import Locality
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, run, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, service
from tests.unit.sandbox_dataplane.requests import ask

HERE = Caller("shop", (("tier", "gold"),), Locality("r1", "z1"), "n1")
SAME, ZONE, REGION, FAR = (
    Workload("127.0.0.1", 1, {"tier": "gold"}, Locality("r1", "z1"), "n1"),
    Workload("127.0.0.2", 1, {}, Locality("r1", "z1"), "n2"),
    Workload("127.0.0.3", 1, {"tier": "gold"}, Locality("r1", "z2"), "n3"),
    Workload("127.0.0.4", 1, {}, Locality("r2", "z9"), "n4"),
)
ELSEWHERE = Workload("127.0.0.5", 1, {}, Locality("r3", "z1"), "n5")
NEAREST_NODE = ["topology.istio.io/network", "topology.kubernetes.io/region"]
NEAREST_NODE += ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, [0, 0, 1, 2, 2]),
        ({"failover": [{"from": "r1", "to": "r3"}]}, [0, 0, 1, 3, 2]),
        ({"failoverPriority": ["tier"]}, [0, 1, 0, 1, 1]),
        ({"failoverPriority": ["tier=silver"]}, [0, 0, 0, 0, 0]),
        ({"failoverPriority": NEAREST_NODE}, [0, 1, 2, 3, 3]),
    ],
)
def test_priorities_follow_locality_and_labels(setting: dict[str, Any], expected: list[int]) -> None:
    workloads = (SAME, ZONE, REGION, FAR, ELSEWHERE)
    found = priorities(setting, HERE, workloads)
    assert [found[each] for each in workloads] == expected


def test_distribute_weighs_localities_and_leaves_the_others_out() -> None:
    setting = {"distribute": [{"from": "r1/z1/*", "to": {"r1/z1/*": 70, "r2/*": 20, "*": 10}}]}
    kept, weights = distributed(setting, HERE, (SAME, ZONE, FAR, ELSEWHERE))
    assert kept == (SAME, ZONE, FAR, ELSEWHERE)
    assert dict(weights) == {SAME.locality: 70, FAR.locality: 20, ELSEWHERE.locality: 10}
    only_near = {"distribute": [{"from": "*", "to": {"r1/*": 100}}]}
    kept, weights = distributed(only_near, HERE, (SAME, REGION, FAR))
    assert kept == (SAME, REGION)
    assert dict(weights) == {SAME.locality: 50, REGION.locality: 50}
    other = {"distribute": [{"from": "r9", "to": {"r1": 100}}]}
    assert distributed(other, HERE, (SAME, FAR)) == ((SAME, FAR), ())


def zoned(mesh: MiniMesh, **zones: str) -> None:
    """Place the pods: web_v1="here-1" puts web-v1 there."""
    for pod in mesh.objects["pods"]:
        pod["spec"]["nodeName"] = zones[pod["metadata"]["name"].replace("-", "_")]


async def given(mesh: MiniMesh, **policy: Any) -> None:
    mesh.objects["destinationrules"] = [destination_rule(**policy)]
    await mesh.apply()


def test_the_own_zone_is_served_first_and_fails_over_with_outlier_detection(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        zoned(mesh, client="here-1", web_v1="here-1", web_v2="here-2")
        outlier = {"consecutive5xxErrors": 2, "interval": "0.2s", "baseEjectionTime": "30s"}
        await given(mesh)
        assert set(await mesh.split("client", 30)) == {(200, "web-v1"), (200, "web-v2")}
        await given(mesh, outlierDetection={**outlier, "maxEjectionPercent": 100})
        assert await mesh.split("client", 20) == {(200, "web-v1"): 20}
        mesh.answers["web-v1"] = 500
        await mesh.until_failed("web-v1", 2)
        assert await mesh.split("client", 20) == {(200, "web-v2"): 20}

    run(tmp_path, body)


def test_requests_are_distributed_over_zones(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        zoned(mesh, client="here-1", web_v1="here-1", web_v2="here-2")
        shares = {"here/here-1/*": 80, "here/here-2/*": 20}
        setting = {"distribute": [{"from": "here/here-1/*", "to": shares}]}
        await given(mesh, loadBalancer={"localityLbSetting": setting, "simple": "ROUND_ROBIN"})
        seen = await mesh.split("client", 200)
        assert 140 <= seen[(200, "web-v1")] <= 180  # 160 +- 3.5 sigma were it random; Envoy's is smoother

    run(tmp_path, body)


def test_a_services_traffic_distribution_prefers_its_zone(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        zoned(mesh, client="here-2", web_v1="here-1", web_v2="here-2")
        mesh.objects["services"][0]["spec"]["trafficDistribution"] = "PreferSameZone"
        await mesh.apply()
        assert await mesh.split("client", 20) == {(200, "web-v2"): 20}

    run(tmp_path, body)


@pytest.mark.parametrize(
    "hashed", [{"httpQueryParameterName": "user"}, {"httpQueryParameterName": "user", "maglev": {}}]
)
def test_a_query_parameter_keeps_its_pod_by_ring_and_maglev(tmp_path: Path, hashed: dict[str, Any]) -> None:
    async def body(mesh: MiniMesh) -> None:
        await given(mesh, loadBalancer={"consistentHash": hashed})
        homes = collections.Counter()
        for user in range(32):
            pods = {(await ask(mesh, f"/?user={user}"))[2] for _ in range(2)}
            assert len(pods) == 1
            homes.update(pods)
        assert set(homes) == {"web-v1", "web-v2"}

    run(tmp_path, body)


def test_a_cookie_is_made_and_keeps_its_pod(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        cookie = {"name": "user", "path": "/", "ttl": "3600s"}
        await given(mesh, loadBalancer={"consistentHash": {"httpCookie": cookie}})
        _, headers, home = await ask(mesh)
        made = headers["set-cookie"]
        assert made.startswith("user=")
        assert "Max-Age=3600" in made
        sent = {"cookie": made.partition(";")[0]}
        assert {(await ask(mesh, headers=sent))[2] for _ in range(10)} == {home}

    run(tmp_path, body)


def test_a_source_address_keeps_its_pod(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await given(mesh, loadBalancer={"consistentHash": {"useSourceIp": True}})
        assert len(await mesh.split("client", 20)) == 1

    run(tmp_path, body)


def test_a_connection_carries_only_so_many_requests(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await given(mesh, connectionPool={"http": {"maxRequestsPerConnection": 1}}, tls={"mode": "DISABLE"})
        assert (await mesh.split("client", 10)).total() == 10
        lines = await mesh.stats("client", "upstream_cx_total")
        assert sum(int(line.rpartition(" ")[2]) for line in lines if "outbound|8080||web" in line) == 10

    run(tmp_path, body)


def test_http2_is_spoken_between_proxies_where_it_is_asked_for(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await given(mesh, connectionPool={"http": {"h2UpgradePolicy": "UPGRADE", "maxConcurrentStreams": 10}})
        assert set(await mesh.split("client", 30)) == {(200, "web-v1"), (200, "web-v2")}
        lines = await mesh.stats("client", "upstream_cx_http2_total")
        counted = [line for line in lines if "outbound|8080||web" in line]
        assert int(counted[0].rpartition(" ")[2]) >= 2

    run(tmp_path, body)


def test_warmup_gives_a_new_pod_its_share_only_little_by_little(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        warmup = {"duration": "60s", "minimumPercent": 10}
        await given(mesh, loadBalancer={"simple": "ROUND_ROBIN", "warmup": warmup})
        await mesh.pod("web-v3", app="web", version="v3")
        await mesh.apply()
        seen = await mesh.split("client", 120)
        assert seen[(200, "web-v1")] + seen[(200, "web-v2")] + seen[(200, "web-v3")] == 120

    run(tmp_path, body)


def test_retries_prefer_another_locality_only_when_told(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        zoned(mesh, client="here-1", web_v1="here-1", web_v2="here-2")
        setting = {"failoverPriority": ["topology.kubernetes.io/zone"]}
        outlier = {"consecutive5xxErrors": 1000}
        retries = {"attempts": 2, "retryOn": "5xx", "retryRemoteLocalities": True}
        there = {"destination": {"host": "web"}}
        mesh.answers["web-v1"] = 500
        mesh.objects["virtualservices"] = [virtual_service({"route": [there], "retries": retries})]
        await given(mesh, loadBalancer={"localityLbSetting": setting}, outlierDetection=outlier)
        assert await mesh.split("client", 10) == {(200, "web-v2"): 10}

    run(tmp_path, body)


def test_tls_to_a_server_outside_the_mesh(tmp_path: Path) -> None:
    """SIMPLE shows no certificate, MUTUAL the one it is given; a name that is not expected is refused."""

    async def body(mesh: MiniMesh) -> None:
        port = await mesh.tls_server(tmp_path)
        entry = {
            "kind": "ServiceEntry",
            "metadata": {"name": "tls", "namespace": "shop", "uid": "tls"},
            "spec": {
                "hosts": ["tls.example"],
                "ports": [{"name": "http", "number": 443, "targetPort": port, "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "127.0.0.1"}],
            },
        }
        mesh.objects["serviceentries"] = [entry]
        files = {"caCertificates": str(tmp_path / "ca.pem")}
        pair = {"clientCertificate": str(tmp_path / "cert.pem"), "privateKey": str(tmp_path / "key.pem")}
        for tls, expected in (
            ({"mode": "SIMPLE", **files, "subjectAltNames": ["tls.example"]}, (200, "anonymous")),
            ({"mode": "MUTUAL", **files, **pair}, (200, "known")),
            ({"mode": "SIMPLE", **files, "subjectAltNames": ["other.example"]}, (503, None)),
            ({"mode": "SIMPLE", "insecureSkipVerify": True}, (200, "anonymous")),
        ):
            rule = destination_rule(tls=tls)
            rule["spec"] |= {"host": "tls.example", "subsets": []}
            mesh.objects["destinationrules"] = [rule]
            await mesh.apply()
            status, _, text = await ask(mesh, host="tls.example:443")
            assert (status, text if status == 200 else None) == expected

    run(tmp_path, body)


def test_a_second_service_is_not_touched_by_the_rule_of_the_first(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["services"].append(service("other", app="web"))
        await given(mesh, loadBalancer={"consistentHash": {"useSourceIp": True}})
        assert len({(await ask(mesh, host="other:8080"))[2] for _ in range(20)}) == 2

    run(tmp_path, body)
