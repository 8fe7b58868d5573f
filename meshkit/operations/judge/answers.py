"""What a judgement means to another tool: a result for Argo Rollouts, yes or no for a webhook of Flagger."""

from __future__ import annotations

from typing import Any, Literal

from meshkit.decide.verdict import Verdict
from meshkit.operations.judge.session import Judgement

Result = Literal["success", "failure", "inconclusive"]
HOOKS = ("confirm-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
"""The types of Flagger's webhooks that a verdict can answer."""


def argo(found: Judgement) -> dict[str, Any]:
    """The answer to Argo Rollouts' web metric provider.

    ``result`` is about the promotion, ``step_result`` about the next step; what is not decided, and what
    could not be measured, is ``inconclusive``.
    """
    release, verdict = found.release, found.promotion
    return {
        "release": f"{release.namespace}/{release.name}",
        "result": _result(verdict, passed=found.shown),
        "step_result": _result(found.step, passed=True),
        "summary": verdict.summary,
        "canary_percent": found.canary_percent,
        "measured": found.baseline,
        "taken_s": round(found.taken_s, 3),
        "verdict": verdict.as_record(),
    }


def flagger(hook: str, found: Judgement) -> tuple[bool, str]:
    """Whether a webhook of this type goes on (for ``rollback``: whether to roll back), and why.

    What is not decided holds the rollout: no traffic is added and nothing is promoted. It is no failed check
    of a ``rollout`` hook.
    """
    worse = found.step.action == "rollback"
    if hook == "rollback":
        return worse, found.step.summary
    if hook == "rollout":
        return not worse, found.step.summary
    if hook == "confirm-rollout" or (hook == "confirm-traffic-increase" and not found.begun):
        ready = f"{found.release.stable} has been measured; the rollout may begin."
        return found.baseline and not worse, ready if found.baseline else found.step.summary
    if hook == "confirm-promotion":
        return found.promotion.action == "promote" and found.shown, found.promotion.summary
    return found.step.action == "promote", found.step.summary


def _result(verdict: Verdict, *, passed: bool) -> Result:
    if verdict.action == "rollback":
        return "failure"
    return "success" if verdict.action == "promote" and passed else "inconclusive"
