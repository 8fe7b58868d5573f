"""A real Prometheus scrapes the sandbox's sidecars by the API server: it counts as their own pages do.

Takes about 15 s for each mesh: it starts a shop with its proxies and waits for scrapes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit import meshes
from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import NoData
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.observe.counters import Counters, Target, window
from meshkit.observe.prometheus import PrometheusObserver
from meshkit.observe.scrape import MetricTable, sidecar_status
from meshkit.operate import change, shop
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
        own = meshes.mesh(self.mesh).scraper
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
        table = meshes.mesh(mesh).scraper.table
        jobs = _jobs(cluster, SandboxHome(sandbox.home), table)
        directory = tmp_path_factory.mktemp("prometheus")
        address = f"127.0.0.1:{choose_port(None, None)}"
        process = _start(program, directory, jobs, address)
        try:
            yield Measured(cluster, mesh, f"http://{address}")
        finally:
            process.terminate()
            process.wait(20)


def _wait_for_requests(cluster: Cluster, mesh: str) -> None:
    """A proxy that has counted nothing yet has no series, and so is no proxy to Prometheus."""
    until_s = time.monotonic() + 20
    while not any(_values(meshes.mesh(mesh).scraper.counters(cluster, TARGET))):
        assert time.monotonic() < until_s, "the shop's caller has counted no request"
        time.sleep(0.2)


def _jobs(cluster: Cluster, home: SandboxHome, table: MetricTable) -> list[dict[str, Any]]:
    """One target for each sidecar: its page through the API server's pod proxy, with the user's rights."""
    targets = []
    for pod in cluster.api.list(Kind("v1", "Pod"), "shop"):
        if sidecar_status(pod, table.sidecar):
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
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
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
