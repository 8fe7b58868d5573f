"""Prometheus' own promtool reads the rules and the scrape configuration, and runs the alerts on series that
are known to be good or bad.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.intent.observability import Observability
from meshkit.operations.observability import observability_files

DAY_S = 86400
MESHES = ("istio", "linkerd")
Promtool = Callable[..., None]
Series = dict[str, str]
"""A series in promtool's notation to its values, one a minute: ``0+60x30`` rises by 60 for 30 minutes."""


@pytest.fixture
def promtool() -> Promtool:
    beside = Path(shutil.which(os.environ.get("PROMETHEUS") or "prometheus") or "prometheus")
    program = shutil.which("promtool") or shutil.which(beside.with_name("promtool"))
    if program is None:
        missing = "no promtool here: it comes with Prometheus, which tools/prometheus finds or installs"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)

    def run(*words: str | Path) -> None:
        said = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 0, said.stdout + said.stderr

    return run


@pytest.fixture(params=MESHES)
def mesh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(mesh: str, tmp_path: Path) -> Path:
    for name, text in observability_files(Observability(), mesh=mesh).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_promtool_has_nothing_to_say(promtool: Promtool, files: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", files / "rules.yaml")
    jobs = yaml.safe_load((files / "scrape.yaml").read_text())
    for job in jobs["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")[0]["role"] == "pod"  # Debian builds Prometheus without it
    (files / "scrape.yaml").write_text(yaml.safe_dump(jobs))
    promtool("check", "config", "--lint=all", "--lint-fatal", files / "scrape.yaml")


ISTIO_SIDE = 'reporter="source", destination_service_namespace="shop", destination_service_name="web"'
LINKERD_SIDE = 'direction="outbound", dst_namespace="shop", dst_service="web"'
SEEN: dict[str, Series] = {
    "istio": {'up{job="istio-proxies"}': "1x60", 'up{job="istiod"}': "1x60"},
    "linkerd": {'up{job="linkerd-proxies"}': "1x60", 'up{job="linkerd-control-plane"}': "1x60"},
}
REQUESTS = {
    "istio": {
        "good": f'istio_requests_total{{{ISTIO_SIDE}, response_code="200"}}',
        "bad": f'istio_requests_total{{{ISTIO_SIDE}, response_code="503"}}',
        "grpc": f'istio_requests_total{{{ISTIO_SIDE}, response_code="200", grpc_response_status="14"}}',
        "refused": f'istio_requests_total{{{ISTIO_SIDE}, response_code="503", response_flags="URX,UO"}}',
    },
    "linkerd": {
        "good": f'response_total{{{LINKERD_SIDE}, classification="success", status_code="200"}}',
        "bad": f'response_total{{{LINKERD_SIDE}, classification="failure", status_code="503"}}',
        "grpc": f'response_total{{{LINKERD_SIDE}, classification="failure", grpc_status="14"}}',
        "refused": "outbound_http_route_backend_response_statuses_total"
        '{backend_namespace="shop", backend_name="web", error="FAIL_FAST"}',
    },
}
LATENCY = {
    "istio": f"istio_request_duration_milliseconds_bucket{{{ISTIO_SIDE}",
    "linkerd": f"response_latency_ms_bucket{{{LINKERD_SIDE}",
}
CERTIFICATES: dict[str, tuple[Callable[[int], Series], str]] = {
    "istio": (lambda days: {"citadel_server_root_cert_expiry_timestamp": f"{days * DAY_S}x60"}, "root"),
    "linkerd": (lambda days: {"issuer_cert_ttl_seconds": f"{days * DAY_S}-60x60"}, "issuer"),
}
PROXY = {
    "istio": ('istio_agent_cert_expiry_seconds{resource_name="default", pod="p"}', "3600-60x60"),
    "linkerd": ('control_identity_cert_expiration_timestamp_seconds{pod="p"}', "7200x60"),
}


def latency(mesh: str, slow: int) -> Series:
    """A hundred answers a minute, some of them between two and five seconds."""
    edges = {"100": 100 - slow, "2000": 100 - slow, "5000": 100, "+Inf": 100}
    return {f'{LATENCY[mesh]}, le="{le}"}}': f"0+{count}x60" for le, count in edges.items()}


def cases(mesh: str) -> Iterator[tuple[str, Series, dict[str, int]]]:
    """What is measured, and how many alerts of which name fire after 40 minutes."""
    requests, (certificate, _) = REQUESTS[mesh], CERTIFICATES[mesh]
    busy = {requests["good"]: "0+6000x60"}
    yield "healthy", {**busy, **latency(mesh, 0), **certificate(61)}, {}
    yield "one in a hundred", {**busy, requests["bad"]: "0+50x60"}, {}
    yield "too many fail", {**busy, requests["bad"]: "0+120x60"}, {"MeshServiceFailing": 1}
    yield "grpc fails", {**busy, requests["grpc"]: "0+120x60"}, {"MeshServiceFailing": 1}
    yield "too few to judge", {requests["good"]: "0+2x60", requests["bad"]: "0+2x60"}, {}
    yield "slow", {**busy, **latency(mesh, 5)}, {"MeshServiceSlow": 1}
    refused = {"MeshRequestsRefused": 1} | ({"MeshServiceFailing": 1} if mesh == "istio" else {})
    yield "no room", {**busy, requests["refused"]: "0+120x60"}, refused
    yield "ends in 59 days", {**certificate(59)}, {"MeshAuthorityExpiring": 1}
    yield "ends in 6 days", {**certificate(6)}, {"MeshAuthorityExpiring": 2}
    yield "not renewed", dict([PROXY[mesh]]), {"MeshProxyCertificateNotRenewed": 1}
    first, second = SEEN[mesh]
    yield "a proxy is down", {first.replace("{", '{pod="p", '): "0x60"}, {"MeshProxyUnseen": 1}
    yield "nobody is there", {first: "stale", second: "0x60"}, {"MeshUnseen": 1, "MeshControlPlaneUnseen": 1}
    if mesh == "istio":
        counter = 'pilot_total_xds_rejects{type="rds"}'
        yield "refused long ago", {counter: "3x60"}, {}
        yield "refused for the first time", {counter: "_x37 1x22"}, {"MeshConfigRejected": 1}
        yield "refused again", {counter: "3x37 4x22"}, {"MeshConfigRejected": 1}


@pytest.mark.parametrize(("mesh", "case"), [(mesh, case) for mesh in MESHES for case, _, _ in cases(mesh)])
def test_an_alert_fires_when_it_should_and_only_then(
    promtool: Promtool, files: Path, mesh: str, case: str
) -> None:
    series, expected = next((series, expected) for name, series, expected in cases(mesh) if name == case)
    told = yaml.safe_load((files / "rules.yaml").read_text())
    alerts = {rule["alert"] for group in told["groups"] for rule in group["rules"] if "alert" in rule}
    assert set(expected) <= alerts
    given = {**SEEN[mesh], **series}
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "promql_expr_test": [counted(name, expected.get(name, 0)) for name in sorted(alerts)],
    }
    path = files / "test.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    promtool("test", "rules", path)


def counted(alert: str, firing: int) -> dict[str, Any]:
    """How many alerts of a name fire: so neither their texts nor their labels are repeated here."""
    expr = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    return {"expr": expr, "eval_time": "40m", "exp_samples": [{"labels": "{}", "value": firing}]}
