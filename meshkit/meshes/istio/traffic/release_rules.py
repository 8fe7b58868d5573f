"""What a release adds to a VirtualService for its own time."""

from __future__ import annotations

from meshkit.facts import Object
from meshkit.intent.cohort import COOKIE, Cohort
from meshkit.intent.release import MirrorFirst
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.gateway_api.release_rules import RULE_NAME


def cohort_rule(cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
    """The rule of a VirtualService that sends the requests of a cohort to the canary."""
    conditions = {name.lower(): {"exact": value} for name, value in cohort.headers.items()}
    if cohort.cookie_pattern:
        conditions[COOKIE] = {"regex": cohort.cookie_pattern}
    matches = []
    for match in rule.get("match") or [{}]:
        headers = match.get("headers") or {}
        for name in conditions.keys() & {str(header).lower() for header in headers}:
            raise ValueError(f"{route} has a condition on the header {name} there already")
        matches.append({**match, "headers": {**headers, **conditions}})
    canary = next(entry for entry in rule[route.destinations] if route.version_of(entry) == route.canary)
    alone = {name: value for name, value in canary.items() if name != "weight"}
    named = {"name": f"{rule['name']}{RULE_NAME}"} if rule.get("name") else {}
    return {**rule, **named, "match": matches, route.destinations: [alone]}


def mirror_entry(mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int) -> tuple[str, Object]:
    """The entry of a rule's ``mirrors`` that sends copies of its requests to the canary."""
    if rule.get("mirror"):
        raise ValueError(f"{route} mirrors there already by the field mirror, which excludes others")
    canary = next(entry for entry in rule[route.destinations] if route.version_of(entry) == route.canary)
    return "mirrors", {"destination": canary["destination"], "percentage": {"value": mirror.percent}}
