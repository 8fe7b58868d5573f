"""Checks of access rules: exceptions whose last day is near or over, and rules that are still on trial."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import annotations_of, group_of, title
from meshkit.meshes import registry
from meshkit.meshes.access import UNTIL
from meshkit.meshes.view import View

SOON_DAYS = 14


def check(view: View) -> Iterator[Finding]:
    """Find exceptions that end, and rules that refuse nobody yet."""
    shadow = registry.mesh(view.mesh).shadow
    if shadow is None:
        return
    for item in view.of(shadow.holders.kind):
        if group_of(item) == shadow.holders.group and (until := annotations_of(item).get(UNTIL)):
            yield from _end(title(item), until, view.now.date())
    for item in view.of(shadow.kind.kind):
        if group_of(item) == shadow.kind.group and shadow.is_on(item):
            yield codes.finding(codes.RULE_ON_TRIAL, title(item), "refuses nobody yet.")


def _end(where: str, until: str, today: dt.date) -> Iterator[Finding]:
    try:
        left = (dt.date.fromisoformat(until) - today).days
    except ValueError:
        yield codes.finding(codes.EXCEPTION_OVER, where, f"has {until!r} as its last day, which is no date.")
        return
    if left < 0:
        yield codes.finding(codes.EXCEPTION_OVER, where, f"was to end on {until}, {-left} days ago.")
    elif left <= SOON_DAYS:
        yield codes.finding(codes.EXCEPTION_ENDS_SOON, where, f"ends on {until}, in {left} days.")
