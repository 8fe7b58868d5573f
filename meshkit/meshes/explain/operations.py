"""The conditions on requests that a server's routes and policies name, each as a match."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice, product

from meshkit.meshes.explain.witnesses import joined
from meshkit.meshes.model.inbound import Condition, Inbound, Policy
from meshkit.meshes.model.outbound import Match, NamedMatch, StringMatch

_MOST_COMBINATIONS = 12
"""Combinations of the values of one rule that are judged; of more, each value is judged once."""
_MOST_OVERLAPS = 64
"""Overlaps of what is refused and what is allowed that are judged."""
_PSEUDO = {"path": ":path", "method": ":method"}


def operations(inbound: Inbound | None) -> Iterator[Match]:
    """The conditions on requests of the routes and policies of a server.

    What one policy refuses and another allows is a condition of its own.
    """
    for route in inbound.routes if inbound else ():
        yield route.match
        refused = list(_of_policies(route.authorization.deny))
        allowed = list(_of_policies(route.authorization.allow or ()))
        if len(refused) * len(allowed) <= _MOST_OVERLAPS:
            overlaps = (joined(one, other) for one, other in product(refused, allowed))
            yield from (each for each in overlaps if each is not None)
        yield from refused
        yield from allowed


def _of_policies(policies: Iterable[Policy]) -> Iterator[Match]:
    for policy in policies:
        for rule in policy.rules:
            for operation in rule.operations:
                yield from _matches((*operation, *rule.when))


def _matches(conditions: Iterable[Condition]) -> Iterator[Match]:
    """The conditions on path, method and headers: for each choice of values one match.

    Values that a condition leaves out make a match each, too: what is left out of a rule is judged as well.
    """
    named = [each for each in conditions if each.subject in ("path", "method", "header") and each.values]
    wanted = [each for each in named if not each.inverted]
    without = [each for each in named if each.inverted]
    for chosen in _choices([each.values for each in wanted]):
        positive = Match()
        for condition, value in zip(wanted, chosen, strict=True):
            positive = _with(positive, condition, value)
        negative = positive
        for condition in without:
            for value in condition.values:
                negative = _without(negative, condition, value)
        if negative != Match():
            yield negative
        for condition in without if negative != positive else ():
            for value in condition.values:
                yield _with(positive, condition, value)


def _choices(values: Sequence[Sequence[StringMatch]]) -> Iterable[tuple[StringMatch, ...]]:
    if math.prod(map(len, values)) <= _MOST_COMBINATIONS:
        return product(*values)
    longest = max(map(len, values))
    return zip(*(islice(cycle(each), longest) for each in values), strict=True)


def _with(match: Match, condition: Condition, value: StringMatch) -> Match:
    if condition.subject == "path" and match.path is None:
        return Match(value, match.method, match.headers, match.query)
    if condition.subject == "method" and match.method is None:
        return Match(match.path, value, match.headers, match.query)
    return _named(match, condition, value, invert=False)


def _without(match: Match, condition: Condition, value: StringMatch) -> Match:
    return _named(match, condition, value, invert=True)


def _named(match: Match, condition: Condition, value: StringMatch, *, invert: bool) -> Match:
    header = NamedMatch(_PSEUDO.get(condition.subject, condition.name), value, invert)
    return Match(match.path, match.method, (*match.headers, header), match.query)
