"""A release survives the end of its process and of its API server, under load: no request is lost, no weights
are left without an owner, and from its records the same verdicts follow.

Takes about two minutes: a killed runner's Lease has to expire before the next one may go on. The long form
kills 200 times.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from meshkit.errors import UnknownName
from meshkit.intent.release import Release
from meshkit.operations import shop
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.runner import release_state, runner_of
from meshkit.sandbox import lifecycle
from tests.e2e.ledgers import had_no_cpu
from tests.e2e.releasing import Shop, shop_with_versions

RPS, MOST_RPS = 100.0, 300.0
"""The load in tests, and in the long form."""
LONGEST_S = 9.0
"""The longest time after which a runner is killed: its start takes two seconds, its release twelve."""


@pytest.fixture(scope="module", params=["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def meshed(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with shop_with_versions(str(request.param), RPS) as found:
        yield found


@pytest.fixture
def v1_serves(meshed: Shop) -> Shop:
    shop.set_load(meshed.cluster, RPS)
    meshed.send_all_to("v1")
    return meshed


def ended(meshed: Shop, release: Release) -> bool:
    try:
        return release_state(release.name, meshed.cluster).ended
    except UnknownName:  # It was killed before it began.
        return False


def ends_well(meshed: Shop, release: Release, since_s: float) -> None:
    """The release was promoted, its weights are the journal's, and its records give the same verdicts."""
    state = release_state(release.name, meshed.cluster)
    ledger = shop.read_ledger(meshed.cluster, since_s, time.time() - 0.5)
    if not had_no_cpu(meshed.cluster, release.canary, release.stable, since_s):
        answered = collections.Counter(ledger.version)
        assert state.result == "promoted", (state.sentences, state.events, answered)
    assert meshed.canary_percent(release) == state.asked_percent
    assert [event.kind for event in state.events].count("begin") == 1
    found = verify_evidence(release_evidence(release.name, meshed.cluster), meshed.cluster)
    assert found.intact, found
    assert ledger.failed == 0, set(ledger.status)


@pytest.mark.parametrize(
    ("kills", "rps"),
    [(6, RPS), pytest.param(200, MOST_RPS, marks=[pytest.mark.soak, pytest.mark.timeout(5400)])],
)
def test_killed_at_random_moments_it_goes_on_and_loses_nothing(
    v1_serves: Shop, kills: int, rps: float, seed: int
) -> None:
    shop.set_load(v1_serves.cluster, rps)
    moments = random.Random(seed)
    owners = v1_serves.owners(v1_serves.release("v1", "v2"))
    versions = ("v1", "v2")
    while kills:
        since_s, release = time.time(), v1_serves.release(*versions, steps=(5, 50, 100))
        while kills and not ended(v1_serves, release):
            runner = v1_serves.start(release)
            try:
                _, said = runner.communicate(timeout=moments.uniform(0.5, LONGEST_S))
                assert runner.returncode == 0, said.decode()
            except subprocess.TimeoutExpired:
                runner.kill()
                runner.communicate()
                kills -= 1
        if not ended(v1_serves, release):
            v1_serves.run(release)
        ends_well(v1_serves, release, since_s)
        assert v1_serves.owners(release) == owners, "the owner's next apply would meet a conflict"
        versions = versions[::-1]


def test_stopped_beyond_its_lease_it_leaves_the_release_to_the_next(v1_serves: Shop) -> None:
    since_s, release = time.time(), v1_serves.release("v1", "v2", steps=(50, 100))
    stopped = v1_serves.start(release)
    v1_serves.when_at_step(release, 0)
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        v1_serves.run(release)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode != 0
    assert b"Conflict" in said
    ends_well(v1_serves, release, since_s)


@pytest.mark.parametrize("seconds", [10, pytest.param(30, marks=pytest.mark.soak)])
def test_an_api_server_that_is_away_delays_the_release_and_changes_nothing(
    v1_serves: Shop, seconds: int
) -> None:
    """The process of the API server is stopped: requests to it get no answer, until it goes on."""
    since_s, release = time.time(), v1_serves.release("v1", "v2", steps=(50, 100))
    runner = v1_serves.start(release)
    v1_serves.when_at_step(release, 0)
    daemon = lifecycle.running(v1_serves.home)
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    _, said = runner.communicate(timeout=120)
    assert runner.returncode == 0, said.decode()
    assert runner_of(release, v1_serves.cluster) is None
    ends_well(v1_serves, release, since_s)
