"""``mk.judge``: the verdict on windows of counts from any source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from meshkit.decide.pods import Placement
from meshkit.decide.rollouts.rollout import Rollout
from meshkit.decide.verdict import Verdict
from meshkit.errors import BadInput
from meshkit.facts import Samples

if TYPE_CHECKING:
    from meshkit.intent.release import Release


def judge(samples: Iterable[Samples], release: Release) -> Verdict:
    """Judge a release from its recorded windows, in the order of time; nothing is read and nothing changed.

    The windows before the first one with canary requests (or with an ``asked_percent`` above 0) measure the
    stable version, as a release does for ``baseline_s``; without ``baseline_s`` of them, the first windows
    after it do. Where ``asked_percent`` is not given, all further windows count as the last step before
    100 %, so the canary's share must be constant in them. The verdict is that after the last window, or the
    first rollback: ``promote`` if every margin is shown, or at an earlier step if that step has passed. The
    deadline of the release and its watch do not apply.

    Raises ``BadInput`` without windows, and for a window that lacks a version.
    """
    windows = list(samples)
    if not windows:
        raise BadInput("samples", "there is no window.", remedy="Give one mk.Samples for each interval.")
    for i, window in enumerate(windows):
        missing = [name for name in (release.stable, release.canary) if name not in window.arms]
        if missing:
            raise BadInput(
                f"samples[{i}].arms",
                f"there are no counts of {missing[0]!r}.",
                remedy=f"Give mk.ArmCounts() for a version that answered nothing; it has "
                f"{', '.join(map(repr, window.arms)) or 'no version'}.",
            )
    placement = Placement(_pods(windows, release.stable), _pods(windows, release.canary))
    rollout = Rollout(release)
    for window in windows:
        verdict = rollout.add(window, lambda: placement)
        if verdict.action == "rollback":
            return verdict
    return rollout.verdict()


def _pods(windows: Iterable[Samples], version: str) -> Counter[str]:
    """How many pods of a version the windows have, by zone."""
    placed = {pod: window.zones.get(pod, "") for window in windows for pod in window.pods.get(version, {})}
    return Counter(placed.values())
