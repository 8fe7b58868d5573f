"""Sends the requests of a case through one proxy, and says whether two proxies answered alike."""

from __future__ import annotations

import asyncio
import collections
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.conformance.routes.cases import Group

SIGMAS = 4.0
Outcome = tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """How the requests of one group were answered, and how many reached each version."""

    outcomes: Mapping[Outcome, int]
    hits: Mapping[str, int]


async def send(
    group: Group,
    address: str,
    port: int,
    observe: tuple[str, ...],
    session: aiohttp.ClientSession,
    counted: collections.Counter[str],
) -> Answers:
    """Send a group to the proxy at ``address``."""
    outcomes: collections.Counter[Outcome] = collections.Counter()
    before = collections.Counter(counted)
    left = iter(range(group.count))

    async def caller() -> None:
        for _ in left:
            outcomes[await _once(group, f"http://{address}:{port}{group.path}", observe, session)] += 1

    await asyncio.gather(*(caller() for _ in range(group.at_once)))
    if group.hits:
        await asyncio.sleep(0.1)  # a mirrored request is not waited for by anyone
    return Answers(outcomes, counted - before)


async def _once(group: Group, url: str, observe: tuple[str, ...], session: aiohttp.ClientSession) -> Outcome:
    headers = {"host": group.to, **group.headers}
    begun_s = time.monotonic()
    try:
        async with session.request(group.method, url, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
            told = _told(text) if "x-upstream" in answer.headers else {}
            outcome = [str(answer.status), *(_seen(name, answer, told, text) for name in observe)]
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        outcome = ["connection closed"]
    if group.slow_s is not None:
        outcome.append("slow" if time.monotonic() - begun_s >= group.slow_s else "fast")
    return tuple(outcome)


def _told(text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text) if text else {}
    return told


def _seen(name: str, answer: aiohttp.ClientResponse, told: Mapping[str, Any], text: str) -> str:
    """``header:X`` is what the upstream saw, ``answer:X`` what the caller was answered, ``body`` its text."""
    kind, _, rest = name.partition(":")
    if kind == "header":
        return str(told.get("headers", {}).get(rest, "-"))
    if kind == "answer":
        return answer.headers.get(rest, "-")
    if kind == "body":
        return "-" if told else text
    return str(told.get(name, "-"))


def differences(group: Group, one: Answers, other: Answers) -> list[str]:
    """What differs by more than chance: a share by over four sigma, or what is always or never so."""
    found = []
    for outcome in sorted({*one.outcomes, *other.outcomes}):
        mine, theirs = one.outcomes.get(outcome, 0), other.outcomes.get(outcome, 0)
        if not _alike(mine, theirs, group.count):
            found.append(f"{group.says}: {outcome} istiod {mine}, sandbox {theirs}")
    if group.hits:
        for version in sorted({*one.hits, *other.hits}):
            mine, theirs = one.hits.get(version, 0), other.hits.get(version, 0)
            if not _alike(mine, theirs, group.count):
                found.append(f"{group.says}: {version} was reached istiod {mine}, sandbox {theirs} times")
    return found


def _alike(mine: int, theirs: int, count: int) -> bool:
    """Two counts of ``count`` trials. What is certain on one side must be so on the other.

    Counts may pass ``count`` where requests are mirrored to the version that answers them, too: what every
    request does is certain, and chance has its part only in the rest.
    """
    if mine == theirs:
        return True
    if not (mine % count and theirs % count):
        return False
    share = (mine + theirs) / (2 * count) % 1
    sigma = math.sqrt(2 * max(share * (1 - share), 1 / (2 * count)) * count)
    return abs(mine - theirs) <= SIGMAS * sigma
