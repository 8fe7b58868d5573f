"""The same objects read by Linkerd's own controllers and by meshkit: the same answers to proxies.

Destination and policy controller run beside a real API server. Linkerd's proxy does not run: what is compared
is what the control plane tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from meshkit.cluster.connect import connect
from meshkit.kube.steps import ordered
from tests.conformance.cluster import RealCluster
from tests.conformance.linkerd import meant
from tests.conformance.linkerd.cases import Case, all_cases, service_port
from tests.conformance.linkerd.compare import differences
from tests.conformance.linkerd.control_plane import ControlPlane, running_control_plane
from tests.conformance.linkerd.programs import programs
from tests.conformance.linkerd.world import SERVICES, Object, World, objects_of
from tests.unit.meshes.golden_cases import CASES as GOLDEN_PLANS
from tests.unit.meshes.golden_cases import PLANNERS, SHOP
from tests.unit.sandbox_dataplane.linkerd_refusals import REFUSED, TAKEN

CASES = all_cases()
GOLDEN = [
    name
    for name, (meshes, _) in GOLDEN_PLANS.items()
    if "linkerd" in meshes and name.startswith(("route", "access"))
]


JUDGED_ELSEWHERE = ("ServiceProfile", "Service")
"""The kinds of which the policy controller's webhook says nothing."""
JUDGED = [(item, field) for item, field in REFUSED if item["kind"] not in JUDGED_ELSEWHERE]
LET_IN = [item for item in TAKEN if item["kind"] not in JUDGED_ELSEWHERE]


@dataclass(frozen=True)
class Bench:
    """The world and the controllers."""

    world: World
    linkerd: ControlPlane


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Without Linkerd's programs the tests are skipped before a cluster is started."""
    found = programs()
    cluster: RealCluster = request.getfixturevalue("real_cluster")
    world = World(connect(kubeconfig=cluster.kubeconfig).api)
    world.define()
    with running_control_plane(cluster, found) as linkerd:
        world.open()
        yield Bench(world, linkerd)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(bench: Bench, case: Case) -> None:
    different = differences(case, bench.world, bench.linkerd)
    text = "\n".join(f"{asked}\n{told}" for asked, told in different.items())
    if case.reason:
        assert set(different) == case.differs_in, f"the known difference has changed; found:\n{text}"
    else:
        assert not different, f"{text}\n{bench.linkerd.logs()}"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_plan(bench: Bench, name: str) -> None:
    """A Route as its callers have it, and an Access as its server has it."""
    around = [dict(each) for each in SHOP.objects if each["kind"] == "Service"]
    planned = objects_of(ordered(PLANNERS["linkerd"].plan(GOLDEN_PLANS[name][1], SHOP)))
    is_route = name.startswith("route")
    case = Case(
        name=name,
        about="",
        objects=(*around, *planned),
        outbound=("web:80 from shop", "web:80 from other") if is_route else (),
        inbound=() if is_route else ("pay-1:8080", "pay-1:9090"),
    )
    different = differences(case, bench.world, bench.linkerd)
    assert not different, "\n".join(different.values())


@pytest.mark.parametrize(("item", "field"), JUDGED, ids=[f"{each['kind']} {field}" for each, field in JUDGED])
def test_the_webhook_refuses_what_meshkit_refuses(bench: Bench, item: Object, field: str) -> None:
    assert bench.linkerd.refuses(item), f"Linkerd takes it, and meshkit refuses it because of {field}"


@pytest.mark.parametrize("item", LET_IN, ids=[each["kind"] for each in LET_IN])
def test_the_webhook_takes_what_meshkit_takes(bench: Bench, item: Object) -> None:
    assert bench.linkerd.refuses(item) == ""


def test_a_service_has_the_same_endpoints(bench: Bench) -> None:
    """Also at a port that a route names, and that the Service does not have."""
    (case,) = (each for each in CASES if each.name == "backend-port-not-there")
    asked = [*(f"{name}.{namespace}:8080" for namespace, name in SERVICES), "web-v1.shop:8081"]
    bench.world.apply(case.objects)
    try:
        registry = bench.world.registry()
        answer = bench.linkerd.endpoints(*(each.replace(":", ".svc.cluster.local:") for each in asked))
    finally:
        bench.world.remove(case.objects)
    for service, namespace, port, _ in map(service_port, asked):
        theirs = sorted(
            f"{each['ip']}:{each['port']}"
            for each in answer
            if (each["service"], each["port"]) == (f"{service}.{namespace}", port)
        )
        assert theirs
        assert theirs == meant.endpoints(registry, service, namespace, port)


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
