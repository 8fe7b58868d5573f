"""What a release adds to a Gateway API route for its own time.

Each field is written as the API server would complete it, so that what is stored is what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from meshkit.facts import Object
from meshkit.intent.cohort import COOKIE, Cohort
from meshkit.intent.release import MirrorFirst
from meshkit.meshes.base import WeightedRoute

_EVERY_PATH = {"path": {"type": "PathPrefix", "value": "/"}}
RULE_NAME = "-canary"
"""The end of the name of an added rule, if the one behind it has a name."""


def cohort_rule(cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
    """The rule of an HTTPRoute or GRPCRoute that sends the requests of a cohort to the canary.

    Gateway API tries the more specific match first, which is the one with the cohort's headers.
    """
    every = {} if route.kind.kind == "GRPCRoute" else _EVERY_PATH
    conditions = list(_conditions(cohort))
    matches = []
    for match in rule.get("matches") or [every]:
        headers = match.get("headers") or []
        taken = {str(header["name"]).lower() for header in headers}
        for condition in conditions:
            if condition["name"].lower() in taken:
                raise ValueError(f"{route} has a condition on the header {condition['name']} there already")
        matches.append({**match, "headers": [*headers, *conditions]})
    canary = next(entry for entry in rule[route.destinations] if route.version_of(entry) == route.canary)
    named = {"name": f"{rule['name']}{RULE_NAME}"} if rule.get("name") else {}
    return {**rule, **named, "matches": matches, route.destinations: [{**canary, "weight": 1}]}


def mirror_entry(mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int) -> tuple[str, Object]:
    """The filter of a rule that sends copies of its requests to the canary. All are sent without a share."""
    canary = next(entry for entry in rule[route.destinations] if route.version_of(entry) == route.canary)
    names = {name: canary[name] for name in ("namespace",) if name in canary}
    reference = {"group": "", "kind": "Service", "name": canary["name"], "port": canary.get("port", port)}
    share = Fraction(Decimal(str(mirror.percent)))
    dealt: dict[str, Any] = {}
    if share.denominator == 1:
        dealt = {"percent": share.numerator} if share != 100 else {}
    else:
        dealt = {"fraction": {"numerator": share.numerator, "denominator": 100 * share.denominator}}
    target = {"backendRef": {**reference, **names}, **dealt}
    return "filters", {"type": "RequestMirror", "requestMirror": target}


def _conditions(cohort: Cohort) -> Iterator[dict[str, Any]]:
    for name, value in cohort.headers.items():
        yield {"type": "Exact", "name": name, "value": value}
    if cohort.cookie_pattern:
        yield {"type": "RegularExpression", "name": COOKIE, "value": cohort.cookie_pattern}
