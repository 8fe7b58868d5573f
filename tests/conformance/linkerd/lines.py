"""One line of text for each thing that is compared, whoever said it: a route, a right, a circuit breaker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.model.outbound import HeaderEdits, Match, Redirect, StringMatch

LOST = "500"
"""Where a share goes that the proxy answers with 500 itself."""
ANYONE, IN_THE_MESH = "anyone", "any identity"
EVERYWHERE = "everywhere"
Share = tuple[str, float]
"""host:port or LOST, and the weight."""
Right = tuple[str, str]
"""Who, and from where."""


def ranked(routes: Iterable[tuple[Match, str]]) -> list[str]:
    """Routes in the order in which proxies look at them: the more specific first, else as they came."""

    def key(pair: tuple[Match, str]) -> tuple[int, ...]:
        match = pair[0]
        hosts = [each.match.value for each in match.headers if each.name == ":authority"]
        by_host = (hosts[0].startswith("(?i).*"), -len(hosts[0])) if hosts else (2, 0)
        others = tuple(each for each in match.headers if each.name != ":authority")
        return (*by_host, *gateway_api.rank(replace(match, headers=others)))

    return [line for _, line in sorted(routes, key=key)]


def of_match(match: Match) -> str:
    """What a request must have."""
    path = match.path or StringMatch("segments", "/")
    words = [f"{path.kind} {path.value}"]
    words += [f"method {match.method.value}"] if match.method else []
    for what, conditions in (("header", match.headers), ("query", match.query)):
        words += [f"{what} {each.name} {each.match.kind} {each.match.value}" for each in conditions]
    return ", ".join(words)


def of_shares(shares: Iterable[Share]) -> str:
    """The backends with their percentages; one whose weight is 0 gets nothing, and is left out."""
    some = [(name, weight) for name, weight in shares if weight]
    whole = sum(weight for _, weight in some)
    return (
        " + ".join(f"{name} {round(100 * weight / whole, 2):g}%" for name, weight in some) or f"{LOST} 100%"
    )


def of_edits(side: str, edits: HeaderEdits) -> str:
    """Edits of the headers of one side, ``request`` or ``response``; empty if there are none."""
    parts = [f"set {name}={value}" for name, value in edits.set]
    parts += [f"add {name}={value}" for name, value in edits.add]
    parts += [f"remove {name}" for name in edits.remove]
    return f"{side} {', '.join(sorted(parts))}" if parts else ""


def of_redirect(redirect: Redirect) -> str:
    """Where a request is sent instead."""
    to = (redirect.scheme, redirect.host, redirect.port or "", redirect.path, redirect.prefix)
    return f"redirect {redirect.status} {to}"


def of_retry(attempts: int, statuses: Iterable[int], per_try_s: float | None) -> str:
    """Retries by status; without any status there is nothing to retry."""
    codes = sorted(set(statuses))
    if not codes:
        return ""
    spans, first = [], codes[0]
    for before, code in zip(codes, [*codes[1:], 0], strict=True):
        if code != before + 1:
            spans.append(f"{first}-{before}")
            first = code
    return f"retries {attempts} of {','.join(spans)} each {per_try_s or 'any'} s"


def of_breaker(failures: int | None, least_s: float, most_s: float | None) -> str:
    """A circuit breaker by consecutive failures."""
    return f"after {failures} failures, {least_s:g} s to {most_s or 0:g} s"


def of_rights(rights: Iterable[Right]) -> list[str]:
    """Who may, from where: one line each. Where anyone may from everywhere, nothing else matters."""
    found = set(rights)
    for who in {each for each, _ in found}:
        if {(who, "0.0.0.0/0"), (who, "::/0")} <= found:
            found = found - {(who, "0.0.0.0/0"), (who, "::/0")} | {(who, EVERYWHERE)}
    if (ANYONE, EVERYWHERE) in found:
        return [f"{ANYONE} from {EVERYWHERE}"]
    return sorted(f"{who} from {where}" for who, where in found)


def joined(*parts: str) -> str:
    """The parts that are not empty."""
    return "; ".join(part for part in parts if part)
