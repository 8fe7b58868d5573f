"""The rule on hand-made looks: what is done, what is said, and that every number said is there as data."""

from __future__ import annotations

import json
import math

import pytest

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.looks import ArmLook, Look
from meshkit.decide.rule import judge
from meshkit.decide.verdict import JudgedLook, Progress, Verdict
from meshkit.decide.yardstick import Yardstick
from meshkit.intent.release import Margins, Release

BASELINE = Baseline(((10.0, 200), (20.0, 500), (30.0, 900), (40.0, 990), (50.0, 999), (math.inf, 1000)))
GOOD = (800, 500, 100, 10, 1)


def release(**fields: object) -> Release:
    given = {
        "steps": (10, 50, 100),
        "step_s": 10,
        "min_requests": 50,
        "baseline_s": 0,
        "soak_s": 0,
        "watch_s": 0,
        "margins": Margins(error_points=1, p99_percent=50),
    }
    common = {
        "name": "web-v2",
        "namespace": "shop",
        "service": "web",
        "port": 8080,
        "stable": "v1",
        "canary": "v2",
    }
    return Release(**{**common, **given, **fields})


def arm(requests: int, errors: int = 0, slower: tuple[int, ...] | None = None) -> ArmLook:
    """Counts with the baseline's shares beyond its edges, unless others are given."""
    edges = BASELINE.edges_ms
    usual = {10.0: 0.8, 20.0: 0.5, 30.0: 0.1, 40.0: 0.01, 50.0: 0.001}
    slow = slower if slower is not None else tuple(round(requests * usual[e]) for e in edges)
    return ArmLook(requests, errors, requests, slow)


def look(step: int, stable: ArmLook, canary: ArmLook, *, at: float = 0, warming: bool = False) -> Look:
    asked = (10, 50, 100)[step] if step >= 0 else 0
    return Look(at, at + 1, step, asked, True, warming, stable, canary)


def evidence(*looks: Look, of: Release | None = None) -> Evidence:
    found = Evidence.start(Yardstick.of(BASELINE, of or release()))
    for one in looks:
        found = found.updated(one)
    return found


def told(verdict: Verdict) -> str:
    return " ".join(verdict.sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_failing_canary_is_rolled_back_with_its_counts() -> None:
    verdict = judge(evidence(look(0, arm(270), arm(30, errors=9))), release(), Progress(0, 1, 1))
    assert verdict.action == "rollback"
    assert "v2 fails more often: 9 of 30 (30 %) failed, v1 0 of 270 (0 %)" in told(verdict)
    assert "the limit is 20 : 1" in told(verdict)
    assert verdict.numbers["canary_errors"] == 9
    assert verdict.harm > 20


def test_slow_canary_is_rolled_back_by_a_handful_of_requests() -> None:
    slow = (4,) * len(BASELINE.edges_ms)
    verdict = judge(evidence(look(0, arm(297), arm(4, slower=slow))), release(), Progress(0, 1, 1))
    assert verdict.action == "rollback"
    assert "v2 is slower: p99.9 is at least 25 % worse than v1's. 4 of 4 (100 %) took longer than" in told(
        verdict
    )


def test_slow_requests_while_warming_do_not_count_but_failures_do() -> None:
    slow = (30,) * len(BASELINE.edges_ms)
    warm = evidence(look(0, arm(270), arm(30, slower=slow), warming=True))
    assert judge(warm, release(), Progress(0, None, 1)).action == "continue"
    failing = evidence(look(0, arm(270), arm(30, errors=9), warming=True))
    assert judge(failing, release(), Progress(0, None, 1)).action == "rollback"


def test_both_versions_failing_alike_is_no_harm() -> None:
    verdict = judge(
        evidence(look(0, arm(270, errors=90), arm(30, errors=10))), release(), Progress(0, 20, 20)
    )
    assert verdict.action != "rollback"
    assert verdict.harm < 2


@pytest.mark.parametrize(
    ("progress", "missing"),
    [(Progress(0, 5, 5), "time"), (Progress(0, None, 20), "share"), (Progress(0, 20, 20, held=True), None)],
    ids=["clock", "share", "held"],
)
def test_step_waits(progress: Progress, missing: str | None) -> None:
    verdict = judge(evidence(look(0, arm(900), arm(100))), release(), progress)
    assert verdict.action == "continue"
    assert missing is None or missing in {c.name for c in verdict.open}


def test_early_step_passes_without_the_margins_evidence() -> None:
    verdict = judge(evidence(look(0, arm(900), arm(100))), release(), Progress(0, 10, 12))
    assert verdict.action == "promote"
    assert "Step 10 % has passed; next is 50 %." in told(verdict)


def test_few_requests_keep_a_step() -> None:
    verdict = judge(evidence(look(0, arm(90), arm(10))), release(), Progress(0, 60, 60))
    assert verdict.action == "continue"
    assert "10 of 50 canary requests judged in this step" in told(verdict)


def test_requests_while_warming_do_not_pass_a_step() -> None:
    warm = evidence(look(0, arm(900), arm(100), warming=True))
    assert "requests" in {c.name for c in judge(warm, release(), Progress(0, 60, 60)).open}


def test_promotion_needs_the_evidence_of_every_margin() -> None:
    few = judge(evidence(look(1, arm(60), arm(60))), release(), Progress(1, 60, 60))
    assert few.action == "continue"
    assert {"errors"} <= {c.name for c in few.open}
    many = judge(evidence(*[look(1, arm(300), arm(300))] * 10), release(), Progress(1, 60, 60))
    assert many.action == "promote"
    assert "errors at most +1 points" in told(many)


def test_canary_at_its_margin_is_not_promoted() -> None:
    """A p99 half as long again puts 16 % of requests beyond the edge where stable has 1 %."""
    edge = BASELINE.edge_ms(0.99)
    shift = math.exp(BASELINE.margin_log_odds(edge, 50))
    share = 0.01 * shift / (1 + 0.01 * (shift - 1))
    slower = tuple(
        round(300 * share) if e == edge else s
        for e, s in zip(BASELINE.edges_ms, arm(300).slower, strict=True)
    )
    verdict = judge(
        evidence(*[look(1, arm(300), arm(300, slower=slower))] * 10), release(), Progress(1, 60, 60)
    )
    assert verdict.action != "promote"
    assert not next(c for c in verdict.conditions if c.name == "p99").met


def test_no_requests_are_undecided_at_the_deadline() -> None:
    verdict = judge(evidence(), release(deadline_s=100), Progress(0, None, 100))
    assert verdict.action == "undecided"
    assert "Not decided at the deadline of 100 s: v1 serves all requests." in told(verdict)
    assert "no data is never success" in told(verdict)


def test_without_latencies_nothing_is_promoted() -> None:
    blind = Evidence.start(Yardstick.of(Baseline(()), release(margins=Margins())))
    for _ in range(10):
        blind = blind.updated(look(1, ArmLook(9000, 0), ArmLook(9000, 0)))
    verdict = judge(blind, release(), Progress(1, 60, 60))
    assert verdict.action == "continue"
    assert "no latency was measured" in told(verdict)


def test_alone_the_canary_is_watched_then_promoted() -> None:
    before = [look(1, arm(300), arm(300))] * 10
    after = [look(2, arm(0), arm(600))] * 3
    watching = judge(evidence(*before, *after), release(watch_s=30, keep_percent=0), Progress(2, 3, 70))
    assert watching.action == "continue"
    done = judge(evidence(*before, *after), release(watch_s=30, keep_percent=0), Progress(2, 30, 100))
    assert done.action == "promote"
    assert "only gross decay would have shown" in told(done)


def test_alone_a_failing_canary_is_rolled_back() -> None:
    looks = [*[look(1, arm(300), arm(300))] * 10, look(2, arm(0), arm(600, errors=60))]
    assert (
        judge(evidence(*looks), release(watch_s=30, keep_percent=0), Progress(2, 3, 70)).action == "rollback"
    )


def test_looks_before_the_first_weight_are_no_evidence() -> None:
    assert evidence(look(-1, arm(1000), arm(0))) == evidence()


def test_records_are_json_and_come_back() -> None:
    one = look(0, arm(270), arm(30, errors=9))
    verdict = judge(evidence(one), release(), Progress(0, 1, 1))
    stored = json.loads(json.dumps({"look": one.as_record(), "verdict": verdict.as_record()}))
    back = JudgedLook(Look.from_record(stored["look"]), Verdict.from_record(stored["verdict"]))
    assert back.look == one
    assert back.verdict.sentences == verdict.sentences
    assert Verdict.from_record(json.loads(json.dumps(back.verdict.as_record()))) == back.verdict
