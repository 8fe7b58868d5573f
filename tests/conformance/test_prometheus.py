"""A real Prometheus scrapes the sandbox's sidecars by the API server: it counts as their own pages do.

Takes about 15 s for each mesh: it starts a shop with its proxies and waits for scrapes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import NoData
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.observability import Observability
from meshkit.kube.pods import running_container
from meshkit.meshes import registry
from meshkit.meshes.metrics import MetricTable
from meshkit.observe.counters import Counters, Target, window
from meshkit.observe.prometheus import PrometheusObserver
from meshkit.observe.scrape import ScrapeObserver
from meshkit.operations import change, shop
from meshkit.operations.observability import observability_files
from meshkit.sandbox.daemon import choose_port
from meshkit.sandbox.home import SandboxHome
from meshkit.testing import running_sandbox

pytestmark = pytest.mark.timeout(400)  # two shops, on a machine that builds besides
TARGET = Target("shop", "web", 8080, ("v1", "v2"))
PAUSE_S = 0.5
"""The sidecars write their pages within a quarter of a second."""


@dataclass(frozen=True)
class Measured:
    """A meshed shop, and the Prometheus that scrapes it."""

    cluster: Cluster
    mesh: str
    url: str

    def at_rest(self) -> tuple[Counters, Counters]:
        """One scrape as the sidecars' pages have it and as Prometheus has it, once it has come by."""
        own = ScrapeObserver(registry.mesh(self.mesh).metrics)
        asked = PrometheusObserver(own.table, self.url, settled_s=1.0)
        shop.set_load(self.cluster, 0)
        time.sleep(PAUSE_S)
        first = own.counters(self.cluster, TARGET)
        until_s = time.monotonic() + 20
        while True:
            try:
                second = asked.counters(self.cluster, TARGET)
                if _values(second) == _values(first):
                    return first, second
            except NoData:
                second = first
            assert time.monotonic() < until_s, f"{_values(first)} is not {_values(second)}"
            time.sleep(0.2)


def _values(counters: Counters) -> list[float]:
    """The value of every series: how a series is called is a transport's own."""
    return sorted(value for page in counters.pages.values() if page for value in page.values())


@pytest.fixture(scope="module", params=["istio", "linkerd"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    program = shutil.which(os.environ.get("PROMETHEUS") or "prometheus")
    if program is None:
        missing = "no prometheus here: tools/prometheus finds or installs it"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    mesh = request.param
    with running_sandbox() as sandbox:
        cluster = connect(kubeconfig=sandbox.kubeconfig)
        change.apply(change.plan(ControlPlane(), cluster, mesh=mesh), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        change.apply(change.plan(Injection(namespace="shop", restart=False), cluster, mesh=mesh), cluster)
        shop.deploy_shop(cluster, rps=100)
        shop.route_shop(cluster, "v1", "v2", mesh=mesh)
        _wait_for_requests(cluster, mesh)
        table = registry.mesh(mesh).metrics
        jobs = _jobs(cluster, SandboxHome(sandbox.home), table)
        directory = tmp_path_factory.mktemp("prometheus")
        address = f"127.0.0.1:{choose_port(None, None)}"
        rules = observability_files(Observability(), mesh=mesh)["rules.yaml"]
        (directory / "rules.yaml").write_text(rules)
        process = _start(program, directory, jobs, address)
        try:
            yield Measured(cluster, mesh, f"http://{address}")
        finally:
            process.terminate()
            process.wait(20)


def _wait_for_requests(cluster: Cluster, mesh: str) -> None:
    """A proxy that has counted nothing yet has no series, and so is no proxy to Prometheus."""
    until_s = time.monotonic() + 20
    while not any(_values(ScrapeObserver(registry.mesh(mesh).metrics).counters(cluster, TARGET))):
        assert time.monotonic() < until_s, "the shop's caller has counted no request"
        time.sleep(0.2)


def _jobs(cluster: Cluster, home: SandboxHome, table: MetricTable) -> list[dict[str, Any]]:
    """One target for each sidecar: its page through the API server's pod proxy, with the user's rights."""
    targets = []
    for pod in cluster.api.list(Kind("v1", "Pod"), "shop"):
        if running_container(pod, table.sidecar):
            name = pod["metadata"]["name"]
            path = f"/api/v1/namespaces/shop/pods/{name}:{table.port}/proxy{table.path}"
            labels = {"__metrics_path__": path, "instance": name, "pod": name}
            targets.append({"targets": [_server(home)], "labels": labels})
    return [
        {
            "job_name": "sidecars",
            "scheme": "https",
            "tls_config": {"ca_file": str(home.ca_certificate)},
            "authorization": {"credentials_file": str(home.token)},
            "static_configs": targets,
        }
    ]


def _server(home: SandboxHome) -> str:
    config = yaml.safe_load(home.kubeconfig.read_text())
    return str(config["clusters"][0]["cluster"]["server"]).removeprefix("https://")


def _start(
    program: str, directory: Path, jobs: list[dict[str, Any]], address: str
) -> subprocess.Popen[bytes]:
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={directory / 'prometheus.yml'}", f"--web.listen-address={address}"]
    command.append(f"--storage.tsdb.path={directory / 'data'}")
    with (directory / "prometheus.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def test_prometheus_and_the_sidecars_own_pages_count_alike(measured: Measured) -> None:
    own_before, asked_before = measured.at_rest()
    shop.set_load(measured.cluster, 100)
    time.sleep(1.5)
    own_after, asked_after = measured.at_rest()
    own, asked = window(own_before, own_after), window(asked_before, asked_after)
    assert own.arms["v1"].requests > 100
    assert asked.arms == own.arms
    assert asked.pods == own.pods


def test_the_golden_signals_are_recorded(measured: Measured) -> None:
    """By meshkit's rules, from what the sidecars count: traffic, few failures if any, a latency."""
    shop.set_load(measured.cluster, 100)
    service = {"istio": "web", "linkerd": "web-v1"}[measured.mesh]
    signals = ("requests:rate5m", "failures:ratio_rate5m", "latency_ms:p99_rate5m")
    until_s = time.monotonic() + 60
    while True:
        values = [_recorded(measured, f"namespace_service:mesh_{signal}", service) for signal in signals]
        if all(value is not None and not math.isnan(value) for value in values):
            break
        assert time.monotonic() < until_s, f"{signals} of {service} are {values}"
        time.sleep(0.5)
    requests, failed, p99_ms = values
    assert requests is not None
    assert requests > 0
    assert failed is not None
    assert 0 <= failed < 0.1
    assert p99_ms is not None
    assert 0 < p99_ms < 5000


def _recorded(measured: Measured, series: str, service: str) -> float | None:
    """The present value of a recorded series; None where there is none."""
    asked = {"query": f'{series}{{mesh="{measured.mesh}", namespace="shop", service="{service}"}}'}
    url = f"{measured.url}/api/v1/query?{urllib.parse.urlencode(asked)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
    except urllib.error.URLError:
        return None  # it has just been started
    return float(found[0]["value"][1]) if found else None
