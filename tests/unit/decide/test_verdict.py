"""The rule on hand-made looks: what is done, what is said, and that every number said is there as data."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.formatting import count, odds, percent, seconds, worse
from meshkit.decide.margins import watching
from meshkit.decide.pods import Placement, PodNoise, assumed_noise
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import JudgedWindow, Progress, Verdict
from meshkit.intent.release import Margins, Objectives, Release

MARGINS = Margins(error_points=1, p50_percent=200, p90_percent=100, p99_percent=100)
"""What buckets of 10 ms can show."""
BASELINE = watching(
    Baseline(((10.0, 200), (20.0, 500), (30.0, 900), (40.0, 990), (50.0, 999), (math.inf, 1000))), MARGINS
)
GOOD = (800, 500, 100, 10, 1)
SLOW = tuple(round(600 * share) for share in (0.9, 0.8, 0.6, 0.4, 0.3))[-len(BASELINE.edges_ms) :]
"""Of 600 requests, how many took longer than each edge, where the canary has become much slower."""


def release(**fields: object) -> Release:
    given = {
        "steps": (10, 50, 100),
        "step_s": 10,
        "min_requests": 50,
        "baseline_s": 0,
        "soak_s": 0,
        "watch_s": 0,
        "margins": MARGINS,
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


def arm(requests: int, errors: int = 0, slower: tuple[int, ...] | None = None) -> ArmWindow:
    """Counts with the baseline's shares beyond its edges, unless others are given."""
    edges = BASELINE.edges_ms
    usual = {10.0: 0.8, 20.0: 0.5, 30.0: 0.1, 40.0: 0.01, 50.0: 0.001}
    slow = slower if slower is not None else tuple(round(requests * usual[e]) for e in edges)
    return ArmWindow(requests, errors, requests, slow)


def look(
    step: int, stable: ArmWindow, canary: ArmWindow, *, at: float = 0, warming: bool = False
) -> SampleWindow:
    asked = (10, 50, 100, 100)[step] if step >= 0 else 0
    return SampleWindow(at, at + 1, step, asked, True, warming, stable, canary)


def evidence(*looks: SampleWindow, of: Release | None = None) -> Evidence:
    """Evidence after these looks, each of which begins at the end of the one before."""
    found = Evidence.start(Yardstick.of(BASELINE, of or release()))
    for i, one in enumerate(looks):
        found = found.updated(replace(one, start_s=one.start_s + i, end_s=one.end_s + i))
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


def stalled(*after_it: SampleWindow) -> Evidence:
    """Evidence of a good canary that has stalled for a tenth of a second, beside a stable version."""
    late = (100, 90, 30, 12, 12)[-len(BASELINE.edges_ms) :]
    before = look(0, arm(900), arm(100))
    return evidence(before, look(0, arm(900), arm(110, slower=late)), *after_it)


def test_one_stall_of_the_canary_rolls_nothing_back() -> None:
    found = stalled()
    assert all(compared.log_evidence_of_all(compared.null) > 5 for compared in found.compared[-2:])
    assert judge(found, release(), Progress(0, 20, 20)).action == "continue"


def test_a_step_waits_until_a_stall_is_over() -> None:
    assert "harm" in {c.name for c in judge(stalled(), release(), Progress(0, 20, 20)).open}
    calm = stalled(*[look(0, arm(900), arm(100))] * 20)
    assert "harm" not in {c.name for c in judge(calm, release(), Progress(0, 40, 40)).open}


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
    """A p99 twice as long puts half of the requests beyond the edge where stable has 1 %."""
    edge = BASELINE.edge_ms(0.99)
    shift = math.exp(BASELINE.margin_log_odds(edge, 100))
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
    for i in range(10):
        blind = blind.updated(look(1, ArmWindow(9000, 0), ArmWindow(9000, 0), at=i))
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


def alone_after(*looks: SampleWindow) -> Verdict:
    """The verdict on a canary that serves all requests, after these looks and good ones beside stable."""
    seen = evidence(*[look(1, arm(300), arm(300))] * 10, *looks)
    return judge(seen, release(watch_s=30, keep_percent=0), Progress(2, 3, 70))


FAILING, SLOWER = arm(600, errors=60), arm(600, 0, SLOW)
STALLED = {"fails": arm(600, errors=600), "slow": arm(600, 0, (600,) * len(BASELINE.edges_ms))}


@pytest.mark.parametrize("worse", [FAILING, SLOWER], ids=["errors", "latency"])
def test_alone_a_canary_that_goes_on_failing_is_rolled_back(worse: ArmWindow) -> None:
    assert alone_after(*[look(2, arm(0), worse)] * 3).action == "rollback"


@pytest.mark.parametrize("kind", STALLED)
@pytest.mark.parametrize("before", [0, 3])
def test_alone_a_stall_of_a_second_decides_nothing(kind: str, before: int) -> None:
    """It reaches into two looks, and the release has hardly been alone; what goes on after it decides."""
    good, stalled = look(2, arm(0), arm(600)), look(2, arm(0), STALLED[kind])
    verdict = alone_after(*[good] * before, stalled, stalled, *[good] * 3)
    assert verdict.action == "continue"
    assert verdict.harm < 1
    assert alone_after(*[good] * before, stalled, stalled, *[good] * 3, stalled).action == "rollback"


def test_alone_no_latency_counts_while_warming() -> None:
    warming = look(2, arm(0), SLOWER, warming=True)
    assert alone_after(*[warming] * 5).action == "continue"
    failing = look(2, arm(0), FAILING, warming=True)
    assert alone_after(*[failing] * 5).action == "rollback"


def test_a_window_that_is_refused_after_the_last_shift_judges_no_earlier_step() -> None:
    kept = release(watch_s=30, keep_percent=5)
    looks = [look(1, arm(300), arm(300))] * 10, [look(2, arm(30, 0, arm(30).slower), arm(570, errors=57))] * 3
    seen = evidence(*looks[0], *looks[1], replace(look(3, arm(0), arm(600)), refused="no data"), of=kept)
    assert judge(seen, kept, Progress(3, None, 70)).harm == 1


@pytest.mark.parametrize(
    ("after", "cause"),
    [
        (arm(600, errors=60), r"^v2 fails more often than v1 did: 180 of 1 800 \(10 %\) failed since"),
        (arm(600, 0, SLOW), r"^v2 is slower than v1 was: \d+ of 1 800 .* took longer than \d+ ms since"),
    ],
    ids=["errors", "latency"],
)
def test_a_rollback_of_a_canary_alone_names_what_decided(after: ArmWindow, cause: str) -> None:
    """Beside stable, the canary had failed more often without reaching the limit: that is not the cause."""
    before = [look(1, arm(300), arm(300, errors=1))] * 5
    looks = evidence(*before, *[look(2, arm(0), after)] * 3)
    verdict = judge(looks, release(watch_s=30, keep_percent=0), Progress(2, 3, 70))
    assert verdict.action == "rollback"
    assert re.search(cause, told(verdict)), verdict.sentences


def test_looks_before_the_first_weight_are_no_evidence() -> None:
    assert evidence(look(-1, arm(1000), arm(0))) == evidence()


def test_records_are_json_and_come_back() -> None:
    one = look(0, arm(270), arm(30, errors=9))
    verdict = judge(evidence(one), release(), Progress(0, 1, 1))
    stored = json.loads(json.dumps({"look": one.as_record(), "verdict": verdict.as_record()}))
    back = JudgedWindow(SampleWindow.from_record(stored["look"]), Verdict.from_record(stored["verdict"]))
    assert back.look == one
    assert back.verdict.sentences == verdict.sentences
    assert back.verdict.told == (verdict.summary, *verdict.sentences)
    assert Verdict.from_record(json.loads(json.dumps(back.verdict.as_record()))) == back.verdict


PROMISE = Objectives(error_percent=1, slower_percent=5, slower_than_ms=40)


def promised(
    *looks: SampleWindow, history: Baseline | None = None, noise: PodNoise | None = None
) -> Evidence:
    """Evidence of a release with objectives, its baseline measured in 10 s."""
    known = history or replace(BASELINE, answered=1000, seconds=10, slow_edge_ms=40.0)
    found = Evidence.start(Yardstick.of(replace(known, noise=noise), release(objectives=PROMISE)))
    for i, one in enumerate(looks):
        late_s = i if one.end_s - one.start_s == 1 else 0
        found = found.updated(replace(one, start_s=one.start_s + late_s, end_s=one.end_s + late_s))
    return found


def spread(step: int, canary_errors: int, stable_errors: int, looks: int = 10) -> list[SampleWindow]:
    """Looks of 10 s each."""
    return [
        replace(
            look(step, arm(270, stable_errors), arm(30, canary_errors)), start_s=10.0 * i, end_s=10.0 * i + 10
        )
        for i in range(looks)
    ]


def test_what_both_versions_suffer_pauses_the_release() -> None:
    verdict = judge(promised(*spread(0, 3, 27)), release(objectives=PROMISE), Progress(0, 100, 100))
    assert verdict.action == "pause"
    assert verdict.label == "shared cause"
    assert "both versions break the objective of at most 1 % errors" in told(verdict)
    assert "roll back by hand" in told(verdict)


def test_a_canary_alone_in_breaking_the_objective_is_rolled_back_by_that_name() -> None:
    few = [
        replace(one, stable=ArmWindow(1, 0, 1, (0,) * len(BASELINE.edges_ms)), canary=arm(3, 1))
        for one in spread(0, 1, 0, looks=13)
    ]
    verdict = judge(promised(*few), release(objectives=PROMISE), Progress(0, 100, 100))
    assert verdict.action == "rollback"
    assert verdict.label == "against your objective"
    assert "v2 breaks your objective of at most 1 % errors" in told(verdict)


def test_an_objective_that_stable_itself_misses_is_left_out_and_said() -> None:
    bad = replace(BASELINE, answered=1020, errors=20, seconds=10, slow_edge_ms=40.0)
    seen = promised(look(0, arm(900), arm(100)), history=bad)
    assert seen.yardstick.unmet == ("errors",)
    assert seen.objective_errors is None
    assert seen.yardstick.weights.objective_errors == 0
    verdict = judge(seen, release(objectives=PROMISE), Progress(0, 5, 5))
    assert "The objective of at most 1 % errors was left out: v1 itself missed it" in told(verdict)
    assert "20 of 1 020 (1.96 %)" in told(verdict)


def test_without_an_objective_all_weight_is_on_the_comparison() -> None:
    weights = Yardstick.of(BASELINE, release()).weights
    assert (weights.errors, weights.slower, weights.objective_errors) == (0.5, 0.5, 0)


def test_low_traffic_puts_the_weight_on_the_objective() -> None:
    slow = replace(BASELINE, answered=1000, seconds=1000, slow_edge_ms=40.0)
    weights = Yardstick.of(slow, release(objectives=PROMISE)).weights
    assert (weights.objective_errors, weights.objective_slower) == (0.45, 0.25)
    assert weights.errors == pytest.approx(0.15)


def test_soak_keeps_a_release_that_is_otherwise_ready() -> None:
    soaking = release(soak_s=100)
    ready = evidence(*[look(1, arm(300), arm(300))] * 10, of=soaking)
    verdict = judge(ready, soaking, Progress(1, 60, 60))
    assert verdict.action == "continue"
    assert {c.name for c in verdict.open} == {"soak"}


def test_the_promoted_canary_is_watched_beside_what_stable_keeps() -> None:
    kept = release(watch_s=30, keep_percent=5)
    assert kept.ladder == (10, 50, 95, 100)
    looks = [
        *[look(1, arm(300), arm(300))] * 10,
        *[replace(look(2, arm(15), arm(285)), asked_percent=95)] * 3,
    ]
    watching = judge(evidence(*looks, of=kept), kept, Progress(2, 3, 70))
    assert watching.action == "continue"
    assert "v1 keeps 5 % to watch for slow leaks" in told(watching)
    assert judge(evidence(*looks, of=kept), kept, Progress(2, 30, 100)).action == "promote"
    last = replace(look(2, arm(0), arm(300)), step=3, asked_percent=100.0)
    done = judge(evidence(*looks, last, of=kept), kept, Progress(3, 1, 110))
    assert done.action == "promote"
    assert "Watched for 30 s beside the 5 % that v1 kept" in told(done)


def test_pods_that_differ_more_than_the_margin_refuse_it_at_once() -> None:
    noise = PodNoise(5, 2, 0.1, (2.0,) * len(BASELINE.edges_ms))
    verdict = judge(
        promised(look(1, arm(300), arm(300)), noise=noise), release(objectives=PROMISE), Progress(1, 5, 5)
    )
    assert "p50 at most 200 % worse (never: v1's own pods differ by more" in told(verdict)
    assert verdict.label == "pods measured"
    assert verdict.harm_limit == pytest.approx(40)


NUMBER = re.compile(r"(?<![\w.])\d[\d.:]*")


def printed(sentence: str) -> list[str]:
    """Its numbers, without those in names (p99, v2), the 1 of "14 : 1", and spaces within a number."""
    sentence = re.sub(r"\bp\d+(\.\d+)?\b|\bv\d\b|:\xa01\b", " ", sentence)
    return [n.rstrip(".:") for n in NUMBER.findall(re.sub(r"(?<=\d)\xa0(?=\d{3})", "", sentence))]


def writings(verdict: Verdict) -> set[str]:
    """All that the verdict's data may be written as."""
    data = [*verdict.numbers.values(), *(v for c in verdict.conditions for v in (c.value, c.limit))]
    shapes = (count, odds, percent, seconds, "{:.4g}".format, "{:.3g}".format, "{:.2g}".format)
    found = {n for value in data for shape in shapes for n in printed(shape(abs(value)))}
    return found | {n for value in data for n in printed(worse(abs(value), None))}


def situations() -> dict[str, Verdict]:
    fails, slow = arm(30, errors=9), (30,) * len(BASELINE.edges_ms)
    kept, objectives = release(watch_s=3600, keep_percent=5), release(objectives=PROMISE)
    many = [look(1, arm(300), arm(300))] * 10
    noise = PodNoise(10, 3, 0.02, (0.1,) * len(BASELINE.edges_ms))
    clumped = replace(noise, dispersion=2.37)
    bad = replace(BASELINE, answered=1020, errors=20, seconds=10, slow_edge_ms=40.0)
    return {
        "fails": judge(evidence(look(0, arm(270), fails)), release(), Progress(0, 1, 1)),
        "slow": judge(evidence(*[look(0, arm(270), arm(30, 0, slow))] * 2), release(), Progress(0, 1, 1)),
        "waits": judge(evidence(look(0, arm(900), arm(100))), release(), Progress(0, 5, 5)),
        "passes": judge(evidence(look(0, arm(900), arm(100))), release(), Progress(0, 10, 12)),
        "needs more": judge(evidence(look(1, arm(60), arm(60))), release(), Progress(1, 60, 60)),
        "promoted": judge(evidence(*many, of=kept), kept, Progress(1, 60, 60)),
        "undecided": judge(
            evidence(look(1, arm(60), arm(60))), release(deadline_s=100), Progress(1, 60, 100)
        ),
        "held": judge(evidence(*many), release(), Progress(1, 60, 60, held=True)),
        "alone": judge(
            evidence(*many, look(2, arm(0), arm(600))), release(watch_s=9, keep_percent=0), Progress(2, 9, 70)
        ),
        "alone fails": judge(
            evidence(*many, *[look(2, arm(0), arm(600, errors=60))] * 3),
            release(watch_s=9, keep_percent=0),
            Progress(2, 3, 70),
        ),
        "alone slow": judge(
            evidence(*many, *[look(2, arm(0), arm(600, 0, SLOW))] * 3),
            release(watch_s=9, keep_percent=0),
            Progress(2, 3, 70),
        ),
        "pause": judge(promised(*spread(0, 3, 27)), objectives, Progress(0, 100, 100)),
        "unmet": judge(promised(look(0, arm(900), arm(100)), history=bad), objectives, Progress(0, 5, 5)),
        "pods": judge(promised(look(0, arm(270), fails), noise=noise), objectives, Progress(0, 1, 1)),
        "clumped": judge(
            promised(*[look(0, arm(270), fails)] * 5, noise=clumped), objectives, Progress(0, 1, 1)
        ),
    }


@pytest.mark.parametrize("name", situations())
def test_each_number_printed_occurs_in_the_data(name: str) -> None:
    verdict = situations()[name]
    assert any(printed(sentence) for sentence in verdict.sentences), verdict.sentences
    missing = {n for sentence in verdict.told for n in printed(sentence)} - writings(verdict)
    assert not missing, verdict.told
    assert verdict.summary
    assert len(verdict.summary.split()) <= 30, verdict.summary


def test_effect_has_interval_requests_time_and_limit() -> None:
    slow = tuple(round(300 * s) for s in (0.9, 0.7, 0.3, 0.08, 0.02))[-len(BASELINE.edges_ms) :]
    seen = evidence(*[look(0, arm(2700), arm(300, 0, slow))] * 3)
    said = told(judge(seen, release(), Progress(0, 1, 1)))
    assert re.search(r"v2 is slower: p\d+(\.\d)? is \d+ to \d+ % worse than v1's\.", said)
    assert re.search(r"of 900 \(\d+(\.\d+)? %\) took longer than \d+ ms, v1 .* side by side for 3 s", said)
    assert "the margin is" in said


def test_few_pods_that_differ_by_what_pods_may_differ_are_neither_promoted_nor_rolled_back() -> None:
    few = replace(BASELINE, noise=assumed_noise(BASELINE, Placement({"": 3}, {"": 1})))
    slightly = tuple(round(n * 1.12) for n in arm(3000).slower)
    looks = [look(1, arm(3000), arm(3000, slower=slightly), at=i) for i in range(10)]
    seen, alike = (Evidence.start(Yardstick.of(each, release())) for each in (few, BASELINE))
    for one in looks:
        seen, alike = seen.updated(one), alike.updated(one)
    assert judge(alike, release(), Progress(1, 60, 60)).action == "rollback"
    verdict = judge(seen, release(), Progress(1, 60, 60))
    assert verdict.action == "continue"
    assert "neither promoted nor rolled back" in told(verdict)
    assert "3 and 1 pods of one version may differ (5 % assumed)" in told(verdict)
    assert verdict.label == "few pods"
