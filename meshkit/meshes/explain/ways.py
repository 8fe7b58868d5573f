"""The way of a request as data: from a caller, by a route of its proxy, to the servers and their answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from meshkit.meshes.model.words import EVERY_REQUEST, number

_MODES = {
    "strict": "the server takes mutual TLS only",
    "permissive": "the server takes mutual TLS and plaintext",
    "plaintext": "the server takes plaintext only",
}


@dataclass(frozen=True)
class Entry:
    """What some pods of a destination do with a request.

    ``answer`` is the failure, empty if the request reaches the application; ``by`` is the policy that decided
    and ``mode`` what the server's proxy accepts, empty without a proxy.
    """

    pods: int
    tls: str
    mode: str = ""
    answer: str = ""
    by: str = ""

    def __str__(self) -> str:
        count = f"{self.pods} pod{'s' if self.pods != 1 else ''}"
        if self.answer:
            by = f", by {self.by}" if self.by else ""
            return f"{count}: {self.tls}; {self.answer}{by}"
        server = _MODES.get(self.mode, "the server has no proxy")
        return f"{count}: {self.tls}; {server}; allowed" + (f" by {self.by}" if self.by else "")


@dataclass(frozen=True)
class Destination:
    """A share of the requests and where it goes.

    ``endpoints`` is the number of ready endpoints, None if it is not known; ``answer`` is the failure of the
    caller's own proxy, and ``source`` the object that defines subset and settings.
    """

    share_percent: float
    host: str
    port: int
    subset: str = ""
    endpoints: int | None = 0
    settings: tuple[str, ...] = ()
    answer: str = ""
    entries: tuple[Entry, ...] = ()
    source: str = ""

    @property
    def failures(self) -> tuple[str, ...]:
        """The answers of this destination that are failures."""
        return tuple(dict.fromkeys(each for each in (self.answer, *(e.answer for e in self.entries)) if each))

    @property
    def fails(self) -> bool:
        """Whether every request of it fails."""
        return bool(self.answer) or (bool(self.entries) and all(each.answer for each in self.entries))

    @property
    def title(self) -> str:
        """Share, host, port and subset: ``90 % web.shop.svc.cluster.local:8080 subset v1``."""
        return f"{number(self.share_percent)} % {self.place}"

    @property
    def place(self) -> str:
        """Host, port and subset."""
        where = f"{self.host}:{self.port}" if self.port else self.host
        return f"{where} subset {self.subset}" if self.subset else where

    @property
    def outcome(self) -> Destination:
        """The destination without what only explains it: for comparisons."""
        counted: Counter[Entry] = Counter()
        for entry in self.entries:
            counted[replace(entry, pods=0, mode="", by="")] += entry.pods
        entries = tuple(
            replace(each, pods=pods) for each, pods in sorted(counted.items(), key=lambda e: str(e[0]))
        )
        return replace(self, source="", entries=entries)

    @property
    def summary(self) -> str:
        """Title and outcome in one line."""
        outcome = self.failures or tuple(dict.fromkeys(entry.tls for entry in self.entries))
        return f"{self.title} ({'; '.join(outcome)})" if outcome else self.title

    def lines(self) -> Iterator[str]:
        """The destination as lines of a trace."""
        source = f", by {self.source}" if self.source else ""
        plural = "" if self.endpoints == 1 else "s"
        known = self.endpoints is not None
        count = f"{self.endpoints} ready endpoint{plural}" if known else "endpoints not known"
        yield f"{self.title}{source}, {count}"
        for setting in self.settings:
            yield f"  {setting}"
        if self.answer:
            yield f"  {self.answer}"
        for entry in self.entries:
            yield f"  {entry}"


@dataclass(frozen=True)
class Way:
    """The way of one request, or of all requests that meet the same conditions, for callers that share it.

    ``rule`` is the object and rule that decided: ``VirtualService shop/web http[0]``. ``answer`` is set if
    the caller's proxy answers itself. ``not_known`` tells what may change the way and could not be judged;
    ``problems`` are the parts of objects that name this host and have no effect.
    """

    callers: tuple[str, ...]
    host: str
    port: int
    conditions: str = EVERY_REQUEST
    rule: str = ""
    answer: str = ""
    actions: tuple[str, ...] = ()
    destinations: tuple[Destination, ...] = ()
    not_known: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    registered: bool = True
    """Whether the mesh knows the host."""

    @property
    def failures(self) -> tuple[str, ...]:
        """The answers with an error status on this way, each once."""
        own = (self.answer,) if self.answer and self.answer[0] in "45" else ()
        return tuple(dict.fromkeys((*own, *(one for each in self.destinations for one in each.failures))))

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def outcome(self) -> Way:
        """What happens, without who asks, which rule says so and what is not known: for comparisons."""
        plain = tuple(sorted((each.outcome for each in self.destinations), key=lambda d: d.title))
        return Way(
            (), self.host, self.port, "", "", self.answer, self.actions, plain, registered=self.registered
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """What happens, one sentence each: to compare two ways."""
        own = (self.answer,) if self.answer else ()
        settings = (f"{each.place} {setting}" for each in self.destinations for setting in each.settings)
        return (*own, *(each.summary for each in self.destinations), *dict.fromkeys(settings), *self.actions)

    @property
    def summary(self) -> str:
        """What happens, in one line."""
        parts = [self.answer] if self.answer else [each.summary for each in self.destinations]
        return "; ".join((*parts, *self.actions)) or "not known"

    def as_record(self) -> dict[str, Any]:
        """The way as a JSON-ready mapping, with its failures."""
        return {**asdict(self), "failures": self.failures}

    def __str__(self) -> str:
        lines = [f"{', '.join(self.callers)} -> {self.place}, {self.conditions}", f"  rule: {self.rule}"]
        lines += [f"  {self.answer}"] if self.answer else []
        lines += [f"  {action}" for action in self.actions]
        lines += [f"  {line}" for each in self.destinations for line in each.lines()]
        lines += [f"  not known: {text}" for text in self.not_known]
        lines += [f"  problem: {text}" for text in self.problems]
        return "\n".join(lines)


def together(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Join the ways that differ in their callers only, in the order in which they were met."""
    found: dict[Way, list[str]] = {}
    for way in ways:
        found.setdefault(replace(way, callers=()), []).extend(way.callers)
    return tuple(
        replace(way, callers=tuple(sorted(dict.fromkeys(callers)))) for way, callers in found.items()
    )
