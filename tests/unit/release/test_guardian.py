"""A guardian takes back a release that nobody runs any more, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import ClusterError, Rejected
from meshkit.operations.release.unattended.guardian import BEGINS_S, guard_release
from tests.unit.release.stage import Stage, ready_pod

UNATTENDED_S = 60


def killed() -> Stage:
    """A release whose runner was killed at 10 %, while stable has a ready pod."""
    stage = Stage(unattended_s=UNATTENDED_S)
    stage.run_until_killed(lambda state: state.asked_percent == 10 and bool(state.step_looks))
    stage.fake.api.create(ready_pod("v1"))
    return stage


def test_a_release_is_taken_back_once_nobody_ran_it_for_as_long_as_it_allows() -> None:
    stage, told = killed(), list[str]()
    began_s = stage.clock.now()
    state = guard_release("web-v2", stage.cluster, clock=stage.clock, tell=told.append)
    assert state is not None
    assert state.status == "rolled_back"
    assert stage.fake.weights() == (100, 0)
    waited_s = stage.clock.now() - began_s
    assert UNATTENDED_S <= waited_s <= UNATTENDED_S + 40, "the Lease has to expire first"
    assert told[-1] == "Release web-v2 was rolled back: nobody had run it."


def test_a_release_that_is_resumed_in_time_is_left_alone() -> None:
    stage = killed()
    real, told = stage.clock.sleep, list[str]()

    def sleep(seconds: float) -> None:
        real(seconds)
        if told:
            stage.clock.sleep = real  # type: ignore[method-assign]
            stage.run()

    stage.clock.sleep = sleep  # type: ignore[method-assign]
    state = guard_release("web-v2", stage.cluster, clock=stage.clock, tell=told.append)
    assert state is not None
    assert state.status == "promoted"
    assert stage.fake.weights() == (0, 100)


def test_it_waits_while_stable_has_no_ready_pod() -> None:
    stage, told = Stage(unattended_s=UNATTENDED_S), list[str]()
    stage.run_until_killed(lambda state: state.asked_percent == 10 and bool(state.step_looks))
    real = stage.clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        if "no ready pod" in told[-1]:
            assert stage.fake.weights() == (90, 10)
            stage.fake.api.create(ready_pod("v1"))

    stage.clock.sleep = sleep  # type: ignore[method-assign]
    guard_release("web-v2", stage.cluster, clock=stage.clock, tell=lambda text: told.append(text))
    assert stage.fake.weights() == (100, 0)


def test_an_api_server_that_does_not_answer_is_asked_again_and_one_that_refuses_is_not() -> None:
    stage, left = killed(), [3]
    real = stage.fake.api.get

    def get(*words: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise ClusterError("no answer.", remedy="Wait.")
        return real(*words, **named)

    stage.fake.api.get = get  # type: ignore[method-assign]
    assert guard_release("web-v2", stage.cluster, clock=stage.clock) is not None

    def refuse(*_: Any, **__: Any) -> Any:
        raise Rejected("not allowed.", remedy="Ask.", status=403)

    stage.fake.api.get = refuse  # type: ignore[method-assign]
    with pytest.raises(Rejected):
        guard_release("web-v2", stage.cluster, clock=stage.clock)


def test_a_release_that_never_begins_is_not_waited_for_without_end() -> None:
    stage, told = Stage(), list[str]()
    assert guard_release("web-v2", stage.cluster, clock=stage.clock, tell=told.append) is None
    assert "not begun" in told[-1]
    assert stage.clock.now() >= BEGINS_S


def test_another_run_of_the_same_name_is_not_its_business() -> None:
    stage = killed()
    assert guard_release("web-v2", stage.cluster, change_id="20260101-000000-aaaa", clock=stage.clock) is None
    assert stage.fake.weights() == (90, 10)
