"""What a release will do, in words: its rule, its steps, its gates, and what it adds to its route."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meshkit.decide.formatting import percent, seconds
from meshkit.decide.ladder import stage

if TYPE_CHECKING:
    from meshkit.intent.gates import Gate
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute

_EVERY_REQUEST: tuple[Mapping[str, Any], ...] = ({}, {"path": {"type": "PathPrefix", "value": "/"}})
"""The matches, apart from the port, that hold for every request."""


def gate_words(gate: Gate) -> str:
    """One gate: what opens it, and what happens if nobody does."""
    then = "the weights stay" if gate.at_expiry == "hold" else "rolled back"
    opens = f"{gate.name} before {percent(gate.before)}, opens by {gate.by}"
    return f"{opens}; {then} after {seconds(gate.expires_s)}"


def added(release: Release) -> Iterator[str]:
    """What the release adds to the route, and for how long."""
    if release.mirror:
        yield (
            f"copies of {percent(release.mirror.percent)} of the requests for {release.canary}, before its"
            f" first share, for at least {seconds(release.mirror.for_s)}; it is judged by them"
        )
    if release.cohort:
        yield (
            f"a rule in front, until the promotion: requests with {release.cohort} go to {release.canary},"
            " and are compared with all others; they are not drawn at random"
        )
    if release.testers:
        yield (
            f"a rule in front, from the start to the end: requests with {release.testers} go to"
            f" {release.canary}, and count as its requests"
        )


def rule_of(route: WeightedRoute) -> str:
    """The rule that has the weights, after its object's name; empty if it holds for all requests."""
    if route.rule:
        return f", rule {route.rule}"
    matches = [{name: at for name, at in match.items() if name != "port"} for match in route.conditions or ()]
    whole = not matches or any(match in _EVERY_REQUEST for match in matches)
    return "" if whole else f", the rule with these matches: {json.dumps(matches)}"


def steps(release: Release) -> Iterator[str]:
    """The steps as texts, from the measurement before the first to the last."""
    if release.baseline_s:
        yield f"{release.stable} measured for {seconds(release.baseline_s)}"
    for index in range(len(release.ladder) - 1):
        if index > release.deciding_step:
            yield f"{stage(release, index)} watched for {seconds(release.watch_s)}"
        else:
            yield f"{stage(release, index)} for at least {seconds(release.least_s(index))}"
    watched = f" watched for {seconds(release.watch_s)}" if release.at_once and release.watch_s else ""
    yield f"{percent(release.ladder[-1])}{watched}"
