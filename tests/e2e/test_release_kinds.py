"""The kinds of releases on the sandbox: real proxies, real requests; Istio, and Linkerd as soak.

Installs the mesh and a shop with a second caller, the tester, whose requests have a header. The outcome is
judged by what both callers recorded.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

import meshkit as mk
from meshkit.cluster.connect import Cluster
from meshkit.errors import UnsupportedByMesh
from meshkit.intent.release import Margins, Release
from meshkit.operations import shop
from meshkit.operations.change import apply, plan
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.plan import plan_release
from meshkit.operations.release.route import route_object
from meshkit.operations.release.runner import Outcome, release_state, runner_of
from meshkit.operations.release.state.model import ReleaseState
from tests.e2e.ledgers import had_no_cpu
from tests.e2e.releasing import Shop, shop_with_versions

RPS, TESTER_RPS = 60.0, 20.0
TESTER, HEADER = "tester", {"x-tester": "yes"}
PICKER = "picker"
"""A caller of stock."""


class ShopWithTester(Shop):
    """The shop with a second caller, whose requests have a header."""

    fields: ClassVar[Mapping[str, Any]] = {
        "deadline_s": 120,
        "margins": Margins(error_points=5, p50_percent=300, p90_percent=400, p99_percent=1000),
    }

    def run(self, release: Release, on_look: Callable[[ReleaseState], None] = lambda _: None) -> Outcome:
        """Run a release, once more where a good one was not good because its pods had no CPU."""
        for _ in range(3):
            since_s = time.time()
            made = plan_release(release, self.cluster, mesh=self.mesh)
            outcome = apply(made, self.cluster, progress=lambda event: on_look(event.state))  # type: ignore[union-attr]
            if outcome.result == "promoted" or release.canary == "v3" or release.watch_s:
                break
            if not had_no_cpu(self.cluster, release.canary, release.stable, since_s):
                break
            release = release.model_copy(update={"name": f"{release.name}-again"})
        found = verify_evidence(release_evidence(release.name, self.cluster), self.cluster)
        assert found.intact, found
        return outcome

    def state(self, release: Release) -> ReleaseState:
        return release_state(release.name, self.cluster)

    def rules(self) -> list[dict[str, Any]]:
        """The rules of the route, without their weights."""
        release = self.release("v1", "v2")
        where = route_object(self.mesh, release)
        found: list[dict[str, Any]] = copy.deepcopy(self.route(release)["spec"][where.rules])
        for rule in found:
            for entry in rule[where.destinations]:
                entry.pop("weight", None)
        return found

    def answered(self, caller: str, since_s: float, until_s: float) -> dict[str, int]:
        """How many requests of a caller each version answered; empty: none did."""
        ledger = shop.read_ledger(self.cluster, since_s, until_s, caller=("shop", caller))
        return {version: ledger.version.count(version) for version in set(ledger.version)}

    def failed(self, caller: str, since_s: float, until_s: float) -> int:
        return shop.read_ledger(self.cluster, since_s, until_s, caller=("shop", caller)).failed


@pytest.fixture(scope="module", params=["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def meshed(request: pytest.FixtureRequest) -> Iterator[ShopWithTester]:
    with shop_with_versions(str(request.param), RPS) as found:
        _deploy_caller(found.cluster, TESTER, HEADERS=json.dumps(HEADER))
        yield ShopWithTester(found.cluster, found.mesh, found.home)


def _deploy_caller(cluster: Cluster, name: str, **env: str) -> None:
    """A caller beside the shop's own, with other or more variables."""
    caller = next(
        obj
        for obj in shop.shop_objects(rps=TESTER_RPS)
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == shop.CLIENT
    )
    labels = {"app": name}
    caller["metadata"] |= {"name": name, "labels": labels}
    caller["spec"]["selector"]["matchLabels"] = labels
    caller["spec"]["template"]["metadata"]["labels"] = labels
    (container,) = caller["spec"]["template"]["spec"]["containers"]
    kept = [each for each in container["env"] if each["name"] not in env]
    container["env"] = [*kept, *({"name": key, "value": value} for key, value in env.items())]
    cluster.api.apply(caller)
    shop.wait_for_shop(cluster, deployments=[("shop", name)])


@pytest.fixture
def v1_serves(meshed: ShopWithTester) -> ShopWithTester:
    meshed.send_all_to("v1")
    return meshed


def test_testers_reach_the_canary_at_every_step_and_no_longer_after_a_rollback(
    v1_serves: ShopWithTester,
) -> None:
    rules, spans = v1_serves.rules(), {}

    def seen(state: ReleaseState) -> None:
        if state.agreed_s is not None and not state.ended:
            first, _ = spans.get(state.step, (time.time(), 0.0))
            spans[state.step] = (first, time.time())

    release = v1_serves.release("v1", "v2", steps=(10, 50, 100), testers={"headers": HEADER})
    outcome = v1_serves.run(release, seen)
    assert outcome.result == "promoted", outcome.sentences
    for step in (0, 1):
        since_s, until_s = spans[step]
        assert set(v1_serves.answered(TESTER, since_s, until_s)) == {"v2"}, step
        assert set(v1_serves.answered("client", since_s, until_s)) == {"v1", "v2"}, step
    began_s = outcome.state.started_s
    assert v1_serves.failed(TESTER, began_s, time.time() - 0.5) == 0
    assert v1_serves.rules() == rules
    bad = v1_serves.release("v2", "v3", steps=(5, 100), testers={"headers": HEADER})
    outcome = v1_serves.run(bad)
    assert outcome.result == "rolled_back", outcome.sentences
    assert v1_serves.rules() == rules
    time.sleep(2)
    now_s = time.time()
    time.sleep(2)
    assert set(v1_serves.answered(TESTER, now_s, time.time() - 0.5)) == {"v2"}


def test_killed_runners_leave_a_rule_that_the_next_one_finds_and_the_end_removes(
    v1_serves: ShopWithTester,
) -> None:
    """Killed with -9 once its rule is written, then at its first step; the lease is shorter than usual."""
    rules = v1_serves.rules()
    release = v1_serves.release("v1", "v2", steps=(10, 100), step_s=600, testers={"headers": HEADER})
    for reached in (lambda state: True, lambda state: state.step == 0):
        runner = v1_serves.start(release)
        try:
            _when(lambda now=reached: len(v1_serves.rules()) > len(rules) and now(v1_serves.state(release)))
        finally:
            runner.kill()
            runner.wait()
        assert len(v1_serves.rules()) == len(rules) + 1
    _when(lambda: runner_of(release, v1_serves.cluster) is None)
    apply(mk.plan_rollback(release.name, v1_serves.cluster, force=True), v1_serves.cluster)
    assert v1_serves.rules() == rules
    assert v1_serves.state(release).result == "rolled_back"


def _when(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.2)


def test_a_cohort_is_at_the_canary_alone_until_it_is_promoted(v1_serves: ShopWithTester) -> None:
    rules, span = v1_serves.rules(), [0.0, 0.0]

    def seen(state: ReleaseState) -> None:
        if state.step == 0 and state.agreed_s is not None:
            span[:] = [span[0] or time.time(), time.time()]

    outcome = v1_serves.run(v1_serves.release("v1", "v2", cohort={"headers": HEADER}), seen)
    assert outcome.result == "promoted", outcome.sentences
    assert set(v1_serves.answered(TESTER, *span)) == {"v2"}
    assert set(v1_serves.answered("client", *span)) == {"v1"}
    assert v1_serves.rules() == rules
    outcome = v1_serves.run(v1_serves.release("v2", "v3", cohort={"headers": HEADER}))
    assert outcome.result == "rolled_back", outcome.sentences
    assert set(v1_serves.answered("client", outcome.state.started_s, time.time() - 0.5)) == {"v2"}
    assert v1_serves.rules() == rules


def test_a_canary_is_judged_by_copies_that_no_caller_waits_for(v1_serves: ShopWithTester) -> None:
    mirror = {"percent": 50, "for_s": 4}
    release = v1_serves.release("v1", "v3", steps=(50, 100), mirror=mirror)
    if v1_serves.mesh != "istio":
        with pytest.raises(UnsupportedByMesh, match="testers"):
            plan_release(release, v1_serves.cluster, mesh=v1_serves.mesh)
        return
    rules = v1_serves.rules()
    outcome = v1_serves.run(release)
    assert outcome.result == "rolled_back", outcome.sentences
    assert outcome.state.step == 0
    began_s, ended_s = outcome.state.started_s, time.time() - 0.5
    assert set(v1_serves.answered("client", began_s, ended_s)) == {"v1"}
    assert v1_serves.failed("client", began_s, ended_s) == 0
    assert v1_serves.rules() == rules
    outcome = v1_serves.run(v1_serves.release("v1", "v2", steps=(50, 100), mirror=mirror))
    assert outcome.result == "promoted", outcome.sentences
    copied = [judged.look for judged in outcome.state.looks if judged.look.step == 0 and judged.look.agreed]
    canary, stable = (sum(getattr(look, arm).requests for look in copied) for arm in ("canary", "stable"))
    assert 0.35 < canary / stable < 0.65
    assert v1_serves.rules() == rules


def test_blue_green_shifts_once_and_returns_at_once(v1_serves: ShopWithTester) -> None:
    rules = v1_serves.rules()
    release = v1_serves.release("v1", "v2", steps=(100,), testers={"headers": HEADER}, watch_s=60)

    def decay(state: ReleaseState) -> None:
        if state.step == 1 and len(state.step_looks) == 2:
            shop.set_behaviour(v1_serves.cluster, "v2", shop.BAD)

    try:
        outcome = v1_serves.run(release, decay)
        assert outcome.result == "rolled_back", outcome.sentences
        assert [event.text for event in outcome.state.events if event.kind == "weights"][-1] == "0 to 100 %"
        assert v1_serves.rules() == rules
        time.sleep(2)
        since_s = time.time() - 1
        assert set(v1_serves.answered("client", since_s, time.time())) == {"v1"}
    finally:
        shop.set_behaviour(v1_serves.cluster, "v2", shop.GOOD)


SLOW = shop.Behaviour(latency_ms=330.0, sigma=0.03)
"""Every answer 300 ms late, and none of them a failure."""


@pytest.fixture
def stocked(v1_serves: ShopWithTester) -> Iterator[ShopWithTester]:
    """The shop with a second version of stock, a route for both, and a caller of stock alone."""
    cluster = v1_serves.cluster
    objects = shop.shop_objects()
    second = next(
        obj for obj in objects if obj["metadata"]["name"] == "stock" and obj["kind"] == "Deployment"
    )
    labels = {"app": "stock", "version": "v2"}
    second["metadata"] |= {"name": "stock-v2", "labels": labels}
    second["spec"]["selector"]["matchLabels"] = second["spec"]["template"]["metadata"]["labels"] = labels
    (container,) = second["spec"]["template"]["spec"]["containers"]
    container["env"] = [
        {**each, "value": "v2"} if each["name"] == "VERSION" else each for each in container["env"]
    ]
    cluster.api.apply(second)
    shop.wait_for_shop(cluster, deployments=[("shop", "stock-v2")])
    route = shop.shop_route("v1", "v2").model_copy(update={"service": "stock"})
    apply(plan([route], cluster, mesh=v1_serves.mesh), cluster)
    _deploy_caller(cluster, PICKER, TARGET="http://stock.shop:8080/", PATHS=json.dumps({"/": 1}))
    yield v1_serves
    for name in (PICKER, "stock-v2"):
        cluster.api.delete(shop.DEPLOYMENT, name, "shop")


def _train(meshed: ShopWithTester, stable: str, canary: str) -> mk.ReleaseTrain:
    # Stock answers in 4 ms, where Istio's buckets are too wide for the margins of the other tests.
    margins = Margins(error_points=5, p50_percent=2000, p90_percent=2000, p99_percent=2000)
    releases = [
        meshed.release(stable, canary, steps=(10, 50, 100), margins=margins, deadline_s=300).model_copy(
            update={"service": service, "name": f"{service}-{time.monotonic_ns()}"}
        )
        for service in ("stock", "web")
    ]
    return mk.ReleaseTrain(name=f"train-{time.monotonic_ns()}", releases=releases)


def _answers(meshed: ShopWithTester, caller: str, since_s: float, version: str) -> list[float]:
    """When the requests were due that a version answered."""
    ledger = shop.read_ledger(meshed.cluster, since_s, time.time() - 0.5, caller=("shop", caller))
    assert ledger.failed == 0, caller
    rows = zip(ledger.scheduled_s, ledger.version, strict=True)
    return [at_s for at_s, answered in rows if answered == version]


@pytest.mark.soak
def test_a_train_shifts_its_services_in_order_and_gives_all_of_them_back(stocked: ShopWithTester) -> None:
    """Judged by the callers of both services: stock leads at the first share and at the last one."""
    cluster = stocked.cluster
    for _ in range(3):
        began_s = time.time()
        outcome = apply(mk.plan_train(_train(stocked, "v1", "v2"), cluster, mesh=stocked.mesh), cluster)
        if outcome.result == "promoted" or not had_no_cpu(cluster, "v2", "v1", began_s):
            break
    assert outcome.result == "promoted", outcome.sentences
    moved = sorted(
        (event.at_s, member.release.service)
        for member in outcome.state.members
        for event in member.events
        if event.kind == "weights"
    )
    assert [service for _, service in moved] == ["stock", "web"] * 3
    time.sleep(1)
    began_s = outcome.state.started_s
    assert min(_answers(stocked, PICKER, began_s, "v2")) < min(_answers(stocked, "client", began_s, "v2"))
    assert max(_answers(stocked, PICKER, began_s, "v1")) < max(_answers(stocked, "client", began_s, "v1"))

    steps: dict[str, int] = {}

    def decay(event: Any) -> None:
        steps[event.state.release.service] = event.state.step
        if list(steps.values()) == [0, 0]:
            shop.set_behaviour(cluster, "v1", SLOW)

    try:
        back = mk.plan_train(_train(stocked, "v2", "v1"), cluster, mesh=stocked.mesh)
        outcome = apply(back, cluster, progress=decay)
        assert outcome.result == "rolled_back", outcome.sentences
        stock, web = outcome.state.members
        assert (stock.result, web.result) == ("rolled_back", "rolled_back")
        assert (web.ended_s or 0.0) <= (stock.ended_s or 0.0)
        time.sleep(2)
        since_s = time.time()
        time.sleep(2)
        for caller in (PICKER, "client"):
            assert _answers(stocked, caller, outcome.state.started_s, "v1"), "the bad version had its share"
            assert not _answers(stocked, caller, since_s, "v1")
        for member in outcome.state.members:
            found = verify_evidence(release_evidence(member.release.name, cluster), cluster)
            assert found.intact, found
    finally:
        shop.set_behaviour(cluster, "v1", shop.GOOD)
