"""Checks along observed calls: retries that multiply, limits below the traffic, and timeouts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.checks.calls.hops import Hop, place_of
from meshkit.checks.calls.standing import amplifying
from meshkit.facts import Finding
from meshkit.meshes.model.outbound import Cluster, Route
from meshkit.meshes.model.words import cluster_words, number

_LONGEST = 8
"""How many calls in a row are followed."""
_OFTEN = 0.01
"""The share of the time in which a limit may be exceeded before it counts as too low."""
_LISTED = 3
"""How many calls one finding names."""

Chain = tuple[Hop, ...]
Ends = tuple[str, str]
"""Where a chain begins and ends."""


def check(hops: Sequence[Hop]) -> Iterator[Finding]:
    """Find what the routes of these calls do to each other and to their traffic."""
    yield from _multiplied(hops)
    for hop in hops:
        yield from _limits(hop)
    yield from _every_method(hops)
    yield from _timeouts(hops)


def _every_method(hops: Sequence[Hop]) -> Iterator[Finding]:
    """Find rules that retry the requests of every method: sidecars do not count which ones there were."""
    of_rules: dict[str, list[tuple[Route, Hop]]] = defaultdict(list)
    for hop in hops:
        for rule in hop.rules:
            if amplifying(rule) and (not rule.matches or any(match.method is None for match in rule.matches)):
                of_rules[rule.source or hop.call.destination].append((rule, hop))
    for found in of_rules.values():
        rule, first = found[0]
        rate = number(sum(hop.call.requests_per_s for _, hop in found))
        ends = [f"{hop.call.source} to {hop.call.destination}" for _, hop in found]
        listed = ", ".join(ends[:_LISTED]) + (f" and {len(ends) - _LISTED} more" if ends[_LISTED:] else "")
        message = (
            f"{rule.source.removeprefix(f'{rule.ruler} ')} sends requests of every method again after an"
            f" error, at most {amplifying(rule)} times: {rate}/s were seen from {listed}, and sidecars do not"
            " count the methods."
        )
        where = rule.ruler or f"Workload {first.call.destination}"
        yield codes.finding(codes.RETRY_NOT_IDEMPOTENT, where, message, severity="info")


def attempts(hop: Hop) -> int:
    """How many requests one request of a call becomes, at most, when the server answers with errors."""
    return 1 + max(map(amplifying, hop.rules), default=0)


def _multiplied(hops: Sequence[Hop]) -> Iterator[Finding]:
    """One finding for each chain that is no part of a longer one."""
    chains = sorted(_chains(hops), key=lambda chain: (-_product(chain), -len(chain)))
    told: list[Chain] = []
    for chain in chains:
        if sum(attempts(hop) > 1 for hop in chain) > 1 and not any(_within(chain, other) for other in told):
            told.append(chain)
            yield _of_chain(chain)


def _chains(hops: Sequence[Hop]) -> Iterator[Chain]:
    """The chain between two workloads that multiplies most, from a call that is retried to another."""
    after: dict[str, list[Hop]] = defaultdict(list)
    for hop in hops:
        after[hop.call.source].append(hop)
    best: dict[Ends, Chain] = {}
    current: dict[Ends, Chain] = {}
    for hop in hops:
        if attempts(hop) > 1:
            _keep(current, (hop,))
    for _ in range(_LONGEST):
        for chain in current.values():
            if attempts(chain[-1]) > 1:
                _keep(best, chain)
        longer: dict[Ends, Chain] = {}
        for (_, end), chain in current.items():
            passed = {chain[0].call.source, *(hop.call.destination for hop in chain)}
            for hop in after.get(end, ()):
                if hop.call.destination not in passed:
                    _keep(longer, (*chain, hop))
        current = longer
    yield from best.values()


def _keep(found: dict[Ends, Chain], chain: Chain) -> None:
    ends = chain[0].call.source, chain[-1].call.destination
    if ends not in found or _product(chain) > _product(found[ends]):
        found[ends] = chain


def _product(chain: Chain) -> int:
    return math.prod(map(attempts, chain))


def _within(chain: Chain, other: Chain) -> bool:
    return any(other[at : at + len(chain)] == chain for at in range(len(other) - len(chain) + 1))


def _of_chain(chain: Chain) -> Finding:
    first, last = chain[0], chain[-1]
    product, rate = _product(chain), first.call.requests_per_s
    way = " -> ".join([first.call.source, *(f"{hop.call.destination} ({attempts(hop)})" for hop in chain)])
    message = (
        f"one request of {first.call.source} becomes up to {product} requests to {last.call.destination} when"
        f" it fails: {way}, with the attempts of each call. The {number(rate)} requests/s seen become up to"
        f" {number(rate * product)}."
    )
    retried = [rule for rule in last.rules if amplifying(rule)]
    return codes.finding(
        codes.RETRIES_MULTIPLY, place_of(retried, f"Workload {last.call.destination}"), message
    )


def _limits(hop: Hop) -> Iterator[Finding]:
    each_s = hop.call.seconds_each
    if each_s is None:
        return
    average = hop.call.requests_per_s * each_s / hop.pods
    for cluster in hop.clusters:
        for name, limit in _bounds(cluster):
            often = _share_above(average, limit)
            if often > _OFTEN:
                where = cluster.source or f"Workload {hop.call.destination}"
                message = (
                    f"{name} of {cluster_words(cluster.name)} is {limit} for each calling pod, and each pod"
                    f" of {hop.call.source} has {number(average)} requests under way on average"
                    f" ({number(hop.call.requests_per_s)}/s of {number(1000 * each_s)} ms from"
                    f" {_pods(hop.pods)}): about {100 * often:.0f} % of the time there are more."
                )
                yield codes.finding(codes.LIMIT_BELOW_TRAFFIC, where, message)


def _pods(count: int) -> str:
    return f"{count} pod{'' if count == 1 else 's'}"


def _bounds(cluster: Cluster) -> Iterator[tuple[str, int]]:
    """What bounds the requests that one proxy has under way."""
    limits = cluster.limits
    if limits.max_connections is not None and cluster.protocol != "http2":
        yield "max_connections", limits.max_connections
    if limits.max_requests is not None:
        yield "max_requests", limits.max_requests


def _share_above(average: float, limit: int) -> float:
    """The share of the time with more requests under way than a limit, if they come independently.

    >>> round(_share_above(10, 10), 2), _share_above(0, 1), round(_share_above(5000, 100), 2)
    (0.42, 0.0, 1.0)
    """
    if average <= 0:
        return 0.0
    if average > 10 * limit + 100:
        return 1.0
    below = math.fsum(
        math.exp(count * math.log(average) - average - math.lgamma(count + 1)) for count in range(limit + 1)
    )
    return max(0.0, 1.0 - below)


def _timeouts(hops: Sequence[Hop]) -> Iterator[Finding]:
    """Find rules that wait longer than every rule of the call before them."""
    before: dict[str, tuple[float, Hop]] = {}
    for hop in hops:
        patience_s = _patience_s(hop.rules)
        held = before.get(hop.call.destination)
        if patience_s is not None and (held is None or patience_s < held[0]):
            before[hop.call.destination] = patience_s, hop
    for hop in hops:
        patience_s, caller = before.get(hop.call.source, (None, hop))
        for rule in hop.rules:
            if patience_s is not None and rule.timeout_s and rule.timeout_s > patience_s:
                name = rule.source.removeprefix(f"{rule.ruler} ")
                message = (
                    f"{name} lets {hop.call.source} wait {number(rule.timeout_s)} s for"
                    f" {hop.call.destination}, but {caller.call.source}, which calls {hop.call.source}"
                    f" ({number(caller.call.requests_per_s)}/s), gives up after {number(patience_s)} s."
                )
                where = rule.ruler or f"Workload {hop.call.destination}"
                yield codes.finding(codes.TIMEOUT_LONGER_THAN_CALLERS, where, message)


def _patience_s(rules: Sequence[Route]) -> float | None:
    """How long a call waits at most; None if it waits without end by one of its rules."""
    times = [rule.timeout_s for rule in rules]
    if not times or not all(times):
        return None
    return max(time_s for time_s in times if time_s)
