"""The pieces of HTML a release is shown with."""

from __future__ import annotations

import pytest
from markupsafe import Markup, escape

from meshkit.decide.verdict import Condition
from meshkit.intent.gates import Gate
from meshkit.operations.release.state.fold import fold
from meshkit.operations.release.state.model import ReleaseState
from meshkit.views.release import release_html
from tests.unit.views_panel.releases import RELEASE, STARTED_S, begin, release_after


@pytest.fixture(scope="module")
def rolled_back() -> ReleaseState:
    return release_after(60, canary_ms=330.0, error_share=0.3)


def test_the_ladder_marks_the_present_step() -> None:
    ladder = release_html.ladder(RELEASE, release_after(20))
    assert ladder.count("mk-step-done") == 1
    assert ladder.count('aria-current="step"') == 1
    assert ladder.count("mk-step-todo") == 2


def test_the_ladder_marks_the_step_that_failed(rolled_back: ReleaseState) -> None:
    assert release_html.ladder(RELEASE, rolled_back).count("mk-step-bad") == 1


def test_the_verdict_is_a_status_in_words_and_shape(rolled_back: ReleaseState) -> None:
    block = release_html.verdict(rolled_back)
    assert 'role="status"' in block
    assert "mk-verdict mk-bad" in block
    assert "Rolled back. v2 is slower" in block or "Rolled back. v2 fails more often" in block


def test_the_verdict_is_short_and_its_reasons_unfold() -> None:
    state = release_after(20)
    assert state.verdict is not None
    block = release_html.verdict(state)
    shown, folded = block.split("<details>")
    assert state.verdict.summary in shown
    assert len(Markup(shown).striptags().split()) <= 30
    for sentence in (*state.verdict.sentences, state.verdict.label):
        assert escape(sentence) in folded
    assert folded.count("<li>") == len(state.verdict.sentences) + 1


def test_a_verdict_without_reasons_unfolds_nothing() -> None:
    assert "<details>" not in release_html.verdict(None)
    assert not release_html.details(None)


def test_every_condition_of_the_verdict_has_words() -> None:
    state = release_after(20)
    assert state.verdict is not None
    shown = release_html.evidence(state)
    assert shown.count("mk-condition") == len(state.verdict.conditions)
    assert "p99 at most 100" in shown
    assert "Errors at most +5 points" in shown


def test_the_journal_keeps_its_height() -> None:
    empty, full = release_html.journal(None), release_html.journal(release_after(200))
    assert empty.count("mk-row") == full.count("mk-row") == release_html.JOURNAL_LINES


def test_names_are_escaped() -> None:
    release = RELEASE.model_copy(update={"service": "<script>"})
    assert "<script>" not in release_html.head(release, "here", None)


def test_a_gate_that_is_waited_for_is_the_headline_and_in_the_journal() -> None:
    release = RELEASE.model_copy(update={"gates": (Gate(name="approval", before=50),)})
    first = {**begin(), "release": release.model_dump(mode="json")}
    waits = {"kind": "gate", "gate": "approval", "answer": "waits", "at_s": STARTED_S + 9}
    state = fold([first, waits])
    assert "Waits for a gate" in release_html.head(release, "istio", state)
    assert "<strong>Waits for gate approval before 50 %, until " in release_html.verdict(state)
    assert "Gate: waits for gate approval before 50 %" in release_html.journal(state)
    opened = {**waits, "answer": "approved", "who": "ana", "why": "<seen>", "at_s": STARTED_S + 12}
    shown = release_html.journal(fold([first, waits, opened]))
    assert "gate approval before 50 % is open: &lt;seen&gt; by ana" in shown


@pytest.mark.parametrize(
    ("value", "limit", "unit", "said"),
    [
        (6.2e-15, 20.0, ": 1", "< 0.01 of 20 : 1"),
        (43.0, 40.0, ": 1", "43 of 40 : 1"),
        (34.0, 0.0, "s", "34 s"),
        (34.0, 300.0, "s", "34 s of 5:00 min"),
        (480.0, 300.0, "s", "8:00 of 5:00 min"),
        (1234.0, 5000.0, "requests", "1 234 of 5 000"),
        (12.0, 0.0, "requests", "12"),
    ],
)
def test_numbers_of_a_condition_are_for_people(value: float, limit: float, unit: str, said: str) -> None:
    shown = release_html.condition_value(Condition("p99", value, limit, unit, met=True, needed=True))
    assert shown.replace("\N{NO-BREAK SPACE}", " ") == said
