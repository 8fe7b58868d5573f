"""Plan latency buckets that carry the margins of a release, for the proxies that it is measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit import codes
from meshkit.errors import BadInput
from meshkit.facts import Finding, Object, Snapshot
from meshkit.kube.metadata import title
from meshkit.kube.steps import BUCKETS_MANAGER, Step
from meshkit.kube.workloads import annotated, owners, workload_needs

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.decide.plan import ReleaseForecast
    from meshkit.intent.release import Release
    from meshkit.meshes.metrics import MetricTable
    from meshkit.observe.counters import Observer, Target
    from meshkit.operations.clock import Clock
    from meshkit.operations.plan import Plan

AT_ONCE = 2
"""Workloads that are rolled out at the same time."""


def plan_buckets(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Plan:
    """Plan the bucket edges that carry the margins of a release, for all workloads that it is measured by.

    These are the callers of the Service and both versions. The traffic is measured as in
    ``forecast_release``. Applying the plan annotates their pod templates, which replaces their pods, and
    ``mk.undo`` takes it back. The plan is empty if the present buckets carry the margins. Raises ``BadInput``
    if the proxies' buckets are fixed, and ``NoData`` without traffic.
    """
    from meshkit.cluster import snapshot
    from meshkit.cluster.journal import Operation
    from meshkit.meshes import registry
    from meshkit.operations.change import plan_steps
    from meshkit.operations.release.forecast import forecast_release
    from meshkit.operations.release.route import find_route, target_of
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, (release.namespace,))
    table = registry.mesh(mesh).metrics
    forecast = forecast_release(
        release, cluster, mesh=mesh, prometheus=prometheus, observer=observer, clock=clock
    )
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    if forecast.closer_edges_ms:
        if table.bucket_annotations is None:
            raise _fixed(mesh, forecast)
        target = target_of(release, find_route(mesh, release, cluster).route)
        pods = measuring_pods(cluster, table, target)
        annotations = table.bucket_annotations(forecast.closer_edges_ms)
        steps, findings = steps_for(pods, annotations, snapshot.read(cluster, workload_needs(None)))
    what = f"Latency buckets for release {release.namespace}/{release.name}"
    return plan_steps(steps, cluster, Operation("apply", mesh), what=what, findings=findings)


def steps_for(
    pods: Sequence[Object], annotations: Mapping[str, str], seen: Snapshot
) -> tuple[tuple[Step, ...], tuple[Finding, ...]]:
    """The steps that annotate the workloads of these pods, and a finding for each pod without one."""
    workloads, left = owners(pods, seen)
    steps = tuple(
        annotated(each, annotations, manager=BUCKETS_MANAGER, wave=number // AT_ONCE + 1)
        for number, each in enumerate(workloads)
    )
    return steps, tuple(_kept(pod) for pod in left)


def measuring_pods(cluster: Cluster, table: MetricTable, target: Target) -> list[Object]:
    """The pods whose proxies count requests to the target's versions: callers, and the versions' own pods."""
    from meshkit.observe.pages import read_pages
    from meshkit.observe.scrape import read_page

    def counting(text: str, table: MetricTable, pod: Object) -> Object | None:
        return pod if read_page(text, table, target, pod["metadata"]["name"]) else None

    found = read_pages(cluster, (table,), counting).pages
    return [pod for _, pod in sorted(found.items()) if pod is not None]


def _fixed(mesh: str, forecast: ReleaseForecast) -> BadInput:
    coarse = next(each for each in forecast.findings if each.code == codes.MARGIN_BELOW_BUCKETS.id)
    problem = f"the latency buckets of {mesh}'s proxies are fixed, and too wide for them."
    return BadInput("release.margins", problem, remedy=coarse.remedy)


def _kept(pod: Object) -> Finding:
    message = f"{title(pod)} keeps its latency buckets: no rollout replaces it."
    return codes.finding(codes.BUCKETS_KEPT, title(pod), message)
