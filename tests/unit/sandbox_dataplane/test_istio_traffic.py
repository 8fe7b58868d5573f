"""Istio's traffic resources through real Envoys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.chance import usual
from tests.unit.sandbox_dataplane.istio_objects import (
    destination_rule,
    run,
    to,
    total,
    virtual_service,
)
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh


def test_without_a_route_both_versions_answer(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        seen = await mesh.split("client", 40)
        assert set(seen) == {(200, "web-v1"), (200, "web-v2")}

    run(tmp_path, body)


def test_weights_subsets_and_header_matches(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule()]
        header = {"match": [{"headers": {"x-user": {"exact": "jason"}}}], "route": [to("v2")]}
        mesh.objects["virtualservices"] = [virtual_service(header, {"route": [to("v1", 80), to("v2", 20)]})]
        await mesh.apply()
        seen = await mesh.split("client", 400)
        assert seen[(200, "web-v2")] in usual(0.2, 400)
        assert await mesh.split("client", 5, headers={"x-user": "jason"}) == {(200, "web-v2"): 5}

        def counted() -> None:
            page = mesh.metrics["client"].exposition()
            assert total(page, "istio_requests_total", 'reporter="source"') == 405
            assert 'destination_version="v2"' in page
            server = mesh.metrics["web-v2"].exposition()
            assert total(server, "istio_requests_total", 'policy="mutual_tls"') > 0

        await mesh.eventually(counted)

    run(tmp_path, body)


def test_fault_timeout_and_retries(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule()]
        abort = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
        delay = {"delay": {"fixedDelay": "0.15s", "percentage": {"value": 100}}}
        mesh.objects["virtualservices"] = [
            virtual_service(
                {"match": [{"uri": {"prefix": "/abort"}}], "fault": abort, "route": [to("v1")]},
                {"match": [{"uri": {"exact": "/late"}}], "fault": delay, "route": [to("v1")]},
                {"match": [{"method": {"exact": "PUT"}}], "timeout": "0.1s", "route": [to("v2")]},
                {"retries": {"attempts": 3, "retryOn": "503"}, "route": [to("v1")]},
            )
        ]
        await mesh.apply()
        assert (await mesh.get("client", "http://web:8080/abort/x"))[0] == 418
        start = asyncio.get_running_loop().time()
        assert (await mesh.get("client", "http://web:8080/late"))[0] == 200
        assert asyncio.get_running_loop().time() - start > 0.14
        mesh.delay_s["web-v2"] = 30
        assert (await mesh.get("client", method="PUT"))[0] == 504
        mesh.answers["web-v1"] = 503
        before = mesh.hits["web-v1"]
        assert (await mesh.get("client"))[0] == 503
        assert mesh.hits["web-v1"] - before == 4

    run(tmp_path, body)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
def test_peer_authentication(tmp_path: Path, mode: str) -> None:
    async def body(mesh: MiniMesh) -> None:
        meta = {"name": "default", "namespace": "shop"}
        mesh.objects["peerauthentications"] = [{"metadata": meta, "spec": {"mtls": {"mode": mode}}}]
        await mesh.apply()
        assert (await mesh.get("client"))[0] == 200
        try:
            async with mesh.session.get(f"http://{mesh._ips['web-v1']}:8080/") as answer:
                plain = answer.status
        except OSError:
            plain = 0
        assert plain == (0 if mode == "STRICT" else 200)

        def counted() -> None:
            pages = mesh.metrics["web-v1"].exposition() + mesh.metrics["web-v2"].exposition()
            assert total(pages, "istio_requests_total", 'reporter="destination"') == (1 if plain == 0 else 2)
            assert ('connection_security_policy="mutual_tls"' in pages) == (mode != "DISABLE")

        await mesh.eventually(counted)

    run(tmp_path, body)


def test_a_refused_plaintext_connection_is_counted(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        strict = {"metadata": {"name": "default", "namespace": "shop"}, "spec": {"mtls": {"mode": "STRICT"}}}
        mesh.objects["peerauthentications"] = [strict]
        await mesh.apply()
        for _ in range(3):
            with pytest.raises(aiohttp.ClientError):
                await mesh.session.get(f"http://{mesh._ips['web-v1']}:8080/")
        assert (await mesh.get("client"))[0] == 200
        name, listener = "envoy_listener_no_filter_chain_match", 'listener_address="0.0.0.0_15006"'
        async with asyncio.timeout(30):
            while total(mesh.metrics["web-v1"].exposition(), name, listener) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        page = mesh.metrics["web-v1"].exposition()
        (series,) = [line for line in page.splitlines() if line.startswith(name)]
        assert series.startswith(f"{name}{{{listener}}} "), series
        assert "istio_tcp_connections_closed_total" not in page
        assert total(page, "istio_requests_total", 'response_code="0"') == 0
        assert total(mesh.metrics["web-v2"].exposition(), name, listener) == 0

    run(tmp_path, body)


def test_outlier_detection_ejects_a_failing_pod_and_takes_it_back(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        outlier = {"consecutive5xxErrors": 3, "interval": "0.2s", "baseEjectionTime": "3s"}
        mesh.objects["destinationrules"] = [
            destination_rule(
                outlierDetection={**outlier, "maxEjectionPercent": 100},
                loadBalancer={"simple": "ROUND_ROBIN"},
            )
        ]
        await mesh.apply()
        mesh.answers["web-v1"] = 500
        await mesh.until_failed("web-v1", 3)
        mesh.answers["web-v1"] = 200
        await mesh.until_served_by("web-v1")

    run(tmp_path, body)


def test_without_outlier_detection_a_failing_pod_goes_on_failing(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule(loadBalancer={"simple": "ROUND_ROBIN"})]
        await mesh.apply()
        mesh.answers["web-v1"] = 500
        assert await mesh.split("client", 40) == {(500, "web-v1"): 20, (200, "web-v2"): 20}

    run(tmp_path, body)


def test_connection_limits_answer_503_to_what_is_too_much(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        limits = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}
        mesh.objects["destinationrules"] = [destination_rule(connectionPool=limits)]
        no_retries = {"retries": {"attempts": 0}, "route": [to("v1")]}
        mesh.objects["virtualservices"] = [virtual_service(no_retries)]
        await mesh.apply()
        await mesh.get("client")  # the one connection stands: a request that waits for it is no pending one
        mesh.holding["web-v1"] = asyncio.Event()
        asked = [asyncio.create_task(mesh.get("client")) for _ in range(10)]
        await mesh.eventually(lambda: sum(each.done() for each in asked) == 8)
        mesh.holding["web-v1"].set()
        assert sorted([(await each)[0] for each in asked]) == [200] * 2 + [503] * 8
        page = mesh.metrics["client"].exposition
        await mesh.eventually(lambda: total(page(), "istio_requests_total", 'flags="UO"') == 8)

    run(tmp_path, body)


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"])
def test_load_balancers_use_every_pod(tmp_path: Path, policy: str) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule(loadBalancer={"simple": policy})]
        await mesh.apply()
        seen = await mesh.split("client", 100)
        spread = seen[(200, "web-v1")]
        assert spread == 50 if policy == "ROUND_ROBIN" else spread in usual(0.5, 100)

    run(tmp_path, body)


def test_a_consistent_hash_keeps_a_user_on_one_pod(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        hashed = {"consistentHash": {"httpHeaderName": "x-user"}}
        mesh.objects["destinationrules"] = [destination_rule(loadBalancer=hashed)]
        await mesh.apply()
        homes = set()
        for user in range(32):
            seen = await mesh.split("client", 2, headers={"x-user": f"user-{user}"})
            assert len(seen) == 1
            homes |= set(seen)
        assert homes == {(200, "web-v1"), (200, "web-v2")}

    run(tmp_path, body)


def test_retries_reach_the_other_pod_and_a_try_has_its_own_time(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        retries = {"attempts": 2, "retryOn": "5xx", "perTryTimeout": "1s"}
        mesh.objects["virtualservices"] = [
            virtual_service({"retries": retries, "route": [{"destination": {"host": "web"}}]})
        ]
        await mesh.apply()
        mesh.answers["web-v1"] = 500
        assert await mesh.split("client", 20) == {(200, "web-v2"): 20}
        mesh.answers["web-v1"], mesh.delay_s["web-v1"] = 200, 30
        answers = await asyncio.gather(*(mesh.get("client") for _ in range(10)))
        assert set(answers) == {(200, "web-v2")}

    run(tmp_path, body)


def test_a_partial_fault_hits_its_share(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        abort = {"abort": {"httpStatus": 503, "percentage": {"value": 30}}}
        mesh.objects["destinationrules"] = [destination_rule()]
        mesh.objects["virtualservices"] = [virtual_service({"fault": abort, "route": [to("v1")]})]
        await mesh.apply()
        seen = await mesh.split("client", 400)
        failed = sum(n for (status, _), n in seen.items() if status == 503)
        assert failed in usual(0.3, 400)
        assert mesh.hits["web-v1"] == 400 - failed

    run(tmp_path, body)
