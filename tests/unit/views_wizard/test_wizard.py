"""The wizard without a browser: which buttons are open, what must be typed, and that the cluster decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from meshkit.operations.setup.stages import STAGES, stage
from meshkit.views.setup.wizard import SetupWizard
from tests.unit.views_wizard.fake_setup import BARE, PLAINTEXT, FakeSetup


async def settled(wizard: SetupWizard, setup: FakeSetup) -> None:
    """Wait until the wizard only looks, or a change waits for the next act; at most half a minute."""
    for _ in range(600):
        run = wizard._run
        waits = run is not None and run.running and (run.paused or not setup.gate.is_set())
        if wizard._looks and (waits or len(wizard._tasks) <= 1):
            return
        await asyncio.sleep(0.05)


def drive(setup: FakeSetup, *acts: Callable[[SetupWizard], None]) -> SetupWizard:
    """Build the wizard as a cell does, and act on it, with time to answer after each act."""

    async def cell() -> SetupWizard:
        wizard = SetupWizard(setup)
        for act in (lambda _: None, *acts):
            act(wizard)
            await asyncio.sleep(0.25)
            await settled(wizard, setup)
        for task in wizard._tasks:
            task.cancel()
        return wizard

    return asyncio.run(cell())


def press(words: str) -> Callable[[SetupWizard], None]:
    def act(wizard: SetupWizard) -> None:
        found = [b for b in wizard._actions.children if getattr(b, "description", "") == words]
        assert found, (
            f"no button {words!r} in {[getattr(b, 'description', '') for b in wizard._actions.children]}"
        )
        assert not found[0].disabled, f"{words} is closed"
        found[0].click()

    return act


def pick(name: str) -> Callable[[SetupWizard], None]:
    return lambda wizard: wizard._picks[STAGES.index(stage(name))].click()


def test_it_opens_at_the_first_stage_that_is_not_done() -> None:
    wizard = drive(FakeSetup(BARE))
    assert wizard._stage.name == "injection"
    assert "3. Sidecar injection: ready, shown" in [one.description for one in wizard._picks]


def test_no_request_is_made_on_the_loop_of_the_notebook() -> None:
    setup = FakeSetup(BARE)
    drive(setup, pick("mutual-tls"), pick("injection"))
    assert setup.threads
    assert threading.main_thread() not in setup.threads


def test_until_the_cluster_was_read_the_stages_have_no_state() -> None:
    async def cell() -> SetupWizard:
        wizard = SetupWizard(FakeSetup(BARE))
        for task in wizard._tasks:
            task.cancel()
        return wizard

    wizard = asyncio.run(cell())
    assert "reading the cluster" in wizard._head.value
    assert wizard._picks[2].description == "3. Sidecar injection"
    assert all(one.disabled for one in (*wizard._picks, wizard._back, wizard._next))
    assert wizard._actions.children == ()
    assert "Run the cell to see it live." in wizard._repr_mimebundle_()["text/plain"]


def test_a_cluster_that_cannot_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshkit.views.setup.wizard.LOOK_S", 0.1)
    setup = FakeSetup(BARE)
    setup.failures.append(ConnectionError("<refused>"))
    wizard = drive(setup)
    assert wizard._stage.name == "injection"
    assert wizard._problem.value == ""


def test_without_a_loop_the_cluster_is_read_once() -> None:
    assert SetupWizard(FakeSetup(BARE))._stage.name == "injection"


def test_apply_opens_with_the_plan_shown_and_runs_off_the_loop() -> None:
    setup = FakeSetup(BARE)
    wizard = drive(setup, press("Apply 1 change"))
    assert "metadata.<wbr>labels.<wbr>a" in wizard._shown_plan.value
    (applied,) = [each for each in setup.done if each[0] == "apply"]
    assert applied[:3] == ("apply", "injection", False)
    assert applied[3] != threading.main_thread().name
    assert "change 7" in wizard._progress.value


def test_a_blocked_stage_has_no_plan_and_no_apply() -> None:
    setup = FakeSetup(BARE)
    wizard = drive(setup, pick("mutual-tls"))
    assert "Comes after sidecar injection." in wizard._shown_plan.value
    assert wizard._actions.apply.disabled
    assert not any(each[:2] == ("plan", "mutual-tls") for each in setup.done)


def test_while_it_runs_it_can_be_paused_and_nothing_else_started() -> None:
    setup = FakeSetup(BARE)
    setup.gate.clear()

    def look(wizard: SetupWizard) -> None:
        assert wizard._actions.apply.description == "Applying…"
        assert all(one.disabled for one in wizard._picks)

    def free(wizard: SetupWizard) -> None:
        setup.gate.set()

    def waits(wizard: SetupWizard) -> None:
        assert not any(each[0] == "apply" for each in setup.done)
        assert "Paused before the next step." in wizard._progress.value

    acts = (look, press("Pause"), free, waits, press("Resume"))
    drive(setup, press("Apply 1 change"), *acts)
    assert any(each[0] == "apply" for each in setup.done)


def test_stop_asks_once_more_and_then_takes_back() -> None:
    setup = FakeSetup(BARE)
    setup.gate.clear()
    free: Callable[[SetupWizard], None] = lambda _: setup.gate.set()  # noqa: E731
    stop = (press("Stop and undo…"), press("Stop and undo now"))
    wizard = drive(setup, press("Apply 1 change"), *stop, free)
    assert "The change was stopped by hand." in wizard._problem.value


def test_strict_with_plaintext_callers_wants_the_namespace_typed() -> None:
    setup = FakeSetup(PLAINTEXT)

    def strict(wizard: SetupWizard) -> None:
        wizard._settings.toggle.value = True
        assert wizard._settings.form is not None
        wizard._settings.form._inputs["mode"].widget.value = "strict"

    def wrong(wizard: SetupWizard) -> None:
        assert "Calls may be refused" in wizard._actions.hint.value
        wizard._actions.typed.value = "shoop"

    def closed(wizard: SetupWizard) -> None:
        assert wizard._actions.confirm.disabled
        wizard._actions.typed.value = "shop"

    acts = (pick("mutual-tls"), strict, press("Apply 1 change"), wrong, closed, press("Apply anyway"))
    drive(setup, *acts)
    assert [each[:3] for each in setup.done if each[0] == "apply"] == [("apply", "mutual-tls", True)]


def test_undo_asks_and_shows_what_the_cluster_answers() -> None:
    setup = FakeSetup(BARE)
    wizard = drive(setup, press("Undo…"), press("Undo now"))
    assert ("undo", "injection") in setup.done
    assert "argocd owns it. Ask them." in wizard._problem.value


def test_settings_of_a_person_stay_while_the_cluster_is_looked_at() -> None:
    setup = FakeSetup(BARE)

    def change(wizard: SetupWizard) -> None:
        wizard._settings.toggle.value = True
        assert wizard._settings.form is not None
        wizard._settings.form._inputs["at_once"].widget.value = 4

    drive(setup, change)
    assert setup.done[-1][2][0].at_once == 4


def test_a_second_wizard_of_the_same_path_ends_the_first() -> None:
    first = drive(FakeSetup(BARE))
    second = drive(FakeSetup(BARE))
    assert SetupWizard._shown[("https://127.0.0.1:1", "istio", "shop")] is second
    assert first.comm is None


def test_without_a_kernel_the_states_can_be_read() -> None:
    bundle = drive(FakeSetup(PLAINTEXT))._repr_mimebundle_()
    assert "3. Sidecar injection  done" in bundle["text/plain"]
    assert "needs attention" in bundle["text/html"]
    assert "plain text" in bundle["text/html"]


@pytest.mark.parametrize("name", [one.name for one in STAGES])
def test_each_stage_has_a_heading_and_says_why(name: str) -> None:
    wizard = drive(FakeSetup(PLAINTEXT), pick(name))
    assert stage(name).title in wizard._why.value
    assert "{namespace}" not in wizard._why.value
