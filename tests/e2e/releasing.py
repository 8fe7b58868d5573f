"""The shop on a sandbox for tests of releases: quick ones, run here or in a process that can be killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import meshkit as mk
from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import UnknownName
from meshkit.intent.release import Margins, Release
from meshkit.operations import shop
from meshkit.operations.change import apply, plan
from meshkit.operations.release.plan import plan_release
from meshkit.operations.release.route import route_object, weights_of
from meshkit.operations.release.runner import Outcome, release_state
from meshkit.operations.release.state.model import ReleaseState
from meshkit.sandbox.home import SandboxHome
from meshkit.testing import running_sandbox
from tests.e2e.ledgers import had_no_cpu

_RUNNER = """
import sys
from meshkit.cluster.connect import connect
from meshkit.intent.release import Release
from meshkit.operations.change import apply
from meshkit.operations.release import runner
from meshkit.operations.release.plan import plan_release
runner.LEASE_S = 4.0
kubeconfig, mesh, release = sys.argv[1:]
cluster = connect("meshkit-sandbox", kubeconfig)
apply(plan_release(Release.model_validate_json(release), cluster, mesh=mesh), cluster)
"""
"""Runs a release in a process of its own, whose Lease expires soon after it is killed."""


class Shop:
    """The demo shop behind one mesh."""

    fields: ClassVar[Mapping[str, Any]] = {
        "steps": (5, 50, 100),
        "deadline_s": 300,
        "margins": Margins(error_points=2, p50_percent=300, p90_percent=400, p99_percent=1000),
    }
    """What releases have in these tests."""

    def __init__(self, cluster: Cluster, mesh: str, home: SandboxHome) -> None:
        self.cluster, self.mesh, self.home = cluster, mesh, home

    def release(self, stable: str, canary: str, **fields: Any) -> Release:
        """Seconds instead of minutes, and wide margins to match: the tail of a busy machine is long."""
        quick: dict[str, Any] = {
            "step_s": 3,
            "look_s": 1,
            "min_requests": 10,
            "warm_up_s": 1,
            "baseline_s": 0,
            "soak_s": 0,
            "watch_s": 0,
        }
        name = f"{stable}-to-{canary}-{time.monotonic_ns()}"
        common = {"name": name, "namespace": "shop", "service": "web", "port": 8080}
        return Release(**{**common, "stable": stable, "canary": canary, **quick, **self.fields, **fields})

    def run(self, release: Release) -> Outcome:
        return apply(plan_release(release, self.cluster, mesh=self.mesh), self.cluster)

    def start(self, release: Release) -> subprocess.Popen[bytes]:
        """Run the release in a process of its own; its Lease expires soon after it is killed."""
        arguments = str(self.cluster.kubeconfig), self.mesh, release.model_dump_json()
        return subprocess.Popen([sys.executable, "-c", _RUNNER, *arguments], stderr=subprocess.PIPE)

    def when_at_step(self, release: Release, step: int) -> ReleaseState:
        """Wait until the share of a step was measured."""
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s:
            with contextlib.suppress(UnknownName):
                state = release_state(release.name, self.cluster)
                if state.step == step and state.agreed_s is not None:
                    return state
            time.sleep(0.3)
        raise AssertionError("the runner did not reach the step")

    def promote(self, release: Release) -> Outcome:
        """Release a good version, once more where it was not good because its pods had no CPU."""
        for _ in range(3):
            since_s, outcome = time.time(), self.run(release)
            if outcome.result == "promoted":
                break
            if not had_no_cpu(self.cluster, release.canary, release.stable, since_s):
                break
            release = release.model_copy(update={"name": f"{release.name}-again"})
        assert outcome.result == "promoted", outcome.sentences
        return outcome

    def send_all_to(self, version: str) -> None:
        """Give one version all weight, as the owner of the route would: without any conflict."""
        route = shop.shop_route("v1", "v2", "v3").model_copy(update={"split": {version: 100.0}})
        apply(plan([route], self.cluster, mesh=self.mesh), self.cluster)

    def canary_percent(self, release: Release) -> float:
        where = route_object(self.mesh, release)
        return weights_of(self.route(release), where, release).canary_percent

    def owners(self, release: Release) -> set[tuple[str, str]]:
        """Who owns fields of the route, and by which operation."""
        entries = self.route(release)["metadata"]["managedFields"]
        return {(entry["manager"], entry["operation"]) for entry in entries}

    def route(self, release: Release) -> dict[str, Any]:
        where = route_object(self.mesh, release)
        obj = self.cluster.api.get(where.kind, where.name, where.namespace)
        assert obj is not None
        return obj


@contextlib.contextmanager
def shop_with_versions(mesh: str, rps: float) -> Iterator[Shop]:
    """A sandbox with the mesh and the shop, whose route has the versions v1, v2 and v3."""
    with running_sandbox() as sandbox:
        cluster = connect("meshkit-sandbox", sandbox.kubeconfig)
        apply(plan([mk.ControlPlane()], cluster, mesh=mesh), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        apply(plan([mk.Injection(namespace="shop")], cluster, mesh=mesh), cluster)
        shop.deploy_shop(cluster, rps=rps)
        shop.route_shop(cluster, "v1", "v2", "v3", mesh=mesh)
        yield Shop(cluster, mesh, SandboxHome(sandbox.home))
