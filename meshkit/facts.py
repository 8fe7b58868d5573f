"""Frozen data types that several packages share: snapshots of objects, request counts and findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")
Object = Mapping[str, Any]
"""A Kubernetes object as its API server sent it (JSON)."""


class Kind(NamedTuple):
    """A kind of Kubernetes object: ``Kind("apps/v1", "Deployment")``."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class ClusterRef:
    """A reference to a cluster: its context and the address of its API server."""

    context: str
    server: str

    def __str__(self) -> str:
        return f"{self.context} ({self.server})"


@dataclass(frozen=True)
class Finding:
    """A problem that a check found. ``codes.finding`` or the parser of another program's output makes it.

    ``code`` is stable (``MK0103``); ``object`` has the form ``kind namespace/name``.
    """

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str

    @property
    def anchor(self) -> str:
        """The page and anchor in docs that explain the code (``reference/findings.md#mk0103``), or empty."""
        return f"reference/findings.md#{self.code.lower()}" if self.code.startswith("MK") else ""

    def as_record(self) -> dict[str, str]:
        """The fields as a JSON-ready mapping, with the link to the documentation as ``docs``."""
        return {**vars(self), "docs": self.anchor}


Keys = Callable[[Object], Iterable[str]]
"""The keys under which an index has an object; a function of a module, whose index is built once."""
_Identity = tuple[str, str, str, str]


class Snapshot:
    """Objects read from one cluster at one time.

    Objects are found by indexes, each of which is built once. A Snapshot that ``written`` returns shares them
    with the one that it comes from, so planning many intents one over the other costs each the same.
    """

    def __init__(self, objects: Iterable[Object] = (), unread: tuple[str, ...] = ()) -> None:
        self.unread = unread
        """What the account may not read: ``VirtualService outside shop``."""
        self._read = tuple(objects)
        self._indexes: dict[Keys, dict[str, list[int]]] = {}
        self._answers: dict[Hashable, Any] = {}
        self._replaced: dict[int, Object] = {}
        """The objects that were written over those that were read, by the number of these."""
        self._added: dict[_Identity, Object] = {}
        self._added_at: dict[str, dict[_Identity, Object]] = {}
        """The objects that were added, by their places."""
        self._written_kinds: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Snapshot({self.objects!r}, {self.unread!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and (self.objects, self.unread) == (other.objects, other.unread)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """All objects, in the order in which they were read or written first."""
        if not self._written_kinds:
            return self._read
        present = (self._replaced.get(number, obj) for number, obj in enumerate(self._read))
        return (*present, *self._added.values())

    @property
    def written_objects(self) -> list[Object]:
        """The objects that were written over those that were read."""
        return [*self._replaced.values(), *self._added.values()]

    @property
    def unread_kinds(self) -> frozenset[str]:
        """The kinds of which some objects may not be read."""
        return frozenset(each.partition(" ")[0] for each in self.unread)

    def of(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """Iterate over the objects of a kind, in one namespace or in all."""
        yield from self.having(_places, kind if namespace is None else f"{kind} {namespace}/")

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return the object of that kind and name, or None."""
        key = f"{kind} /{name}" if namespace is None else f"{kind} {namespace}/{name}"
        return next(iter(self.having(_places, key)), None)

    def having(self, keys_of: Keys, *keys: str) -> list[Object]:
        """The objects that have one of these keys in the index of ``keys_of``, in their order."""
        index = self._index(keys_of)
        numbers = (
            index.get(keys[0], ()) if len(keys) == 1 else {n for key in keys for n in index.get(key, ())}
        )
        if not self._written_kinds:
            return [self._read[number] for number in sorted(numbers)]
        wanted = set(keys)
        if keys_of is _places:
            # What was written over an object has its place.
            found = {number: self._replaced.get(number, self._read[number]) for number in numbers}
            added = {k: obj for key in keys for k, obj in self._added_at.get(key, {}).items()}
        else:
            found = {number: self._read[number] for number in numbers if number not in self._replaced}
            found |= {n: obj for n, obj in self._replaced.items() if not wanted.isdisjoint(keys_of(obj))}
            added = {k: obj for k, obj in self._added.items() if not wanted.isdisjoint(keys_of(obj))}
        return [*(found[number] for number in sorted(found)), *added.values()]

    def having_rarest(self, keys_of: Keys, *keys: str) -> list[Object]:
        """The objects that have the one of these keys that the fewest of the objects read have."""
        index = self._index(keys_of)
        return self.having(keys_of, min(keys, key=lambda key: len(index.get(key, ()))))

    def remembered(self, name: Hashable, kinds: Container[str], answer: Callable[[Snapshot], T]) -> T:
        """The answer to a question about objects of these kinds only, which is computed once."""
        if any(kind in kinds for kind in self._written_kinds):
            return answer(self)
        if name not in self._answers:
            self._answers[name] = answer(self)
        found: T = self._answers[name]
        return found

    def written(self, objects: Iterable[Object]) -> Snapshot:
        """The Snapshot with these objects, each in place of the one with its group, kind and name."""
        after = Snapshot((), self.unread)
        after._read, after._indexes, after._answers = self._read, self._indexes, self._answers
        after._replaced, after._added = dict(self._replaced), dict(self._added)
        after._added_at, kinds = dict(self._added_at), set(self._written_kinds)
        for obj in objects:
            kinds.add(str(obj.get("kind")))
            identity = _identity(obj)
            number = self._number(identity)
            if number is not None:
                after._replaced[number] = obj
                continue
            after._added[identity] = obj
            for key in _places(obj):
                after._added_at[key] = {**after._added_at.get(key, {}), identity: obj}
        after._written_kinds = frozenset(kinds)
        return after

    def at(self, obj: Object) -> Object | None:
        """The present object with the group, kind, namespace and name of another."""
        identity = _identity(obj)
        number = self._number(identity)
        if number is None:
            return self._added.get(identity)
        return self._replaced.get(number, self._read[number])

    def _number(self, identity: _Identity) -> int | None:
        _, kind, namespace, name = identity
        numbers = self._index(_places).get(f"{kind} {namespace}/{name}", ())
        return next((n for n in reversed(numbers) if _identity(self._read[n]) == identity), None)

    def _index(self, keys_of: Keys) -> dict[str, list[int]]:
        index = self._indexes.get(keys_of)
        if index is None:
            index = {}
            for number, obj in enumerate(self._read):
                for key in keys_of(obj):
                    index.setdefault(key, []).append(number)
            self._indexes[keys_of] = index
        return index


def _places(obj: Object) -> tuple[str, ...]:
    """The keys of an object by its kind, namespace and name; a namespace has no slash."""
    kind, meta = obj.get("kind"), obj["metadata"]
    name, namespace = meta.get("name"), meta.get("namespace")
    keys = (f"{kind}", f"{kind} /{name}")
    return keys if not namespace else (*keys, f"{kind} {namespace}/", f"{kind} {namespace}/{name}")


def _identity(obj: Object) -> _Identity:
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    meta = obj["metadata"]
    return group, str(obj.get("kind", "")), str(meta.get("namespace") or ""), str(meta["name"])


@dataclass(frozen=True)
class ArmCounts:
    """The answers of one version in one time window, counted by the callers' proxies.

    ``latency_ms`` is a cumulative histogram of the requests that did not fail: (upper edge in ms, requests at
    or below it), rising, the last edge infinite.
    """

    requests: int = 0
    errors: int = 0
    latency_ms: tuple[tuple[float, int], ...] = ()

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return ArmCounts(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latency_ms=_add_histograms(self.latency_ms, other.latency_ms),
        )

    @property
    def error_share(self) -> float | None:
        """Errors per request, or None without requests."""
        return self.errors / self.requests if self.requests else None

    def quantile_ms(self, q: float) -> float | None:
        """The latency in ms at quantile ``q``, interpolated linearly within a bucket.

        None without requests. Above the last finite edge the result is that edge, as in Prometheus'
        ``histogram_quantile``.
        """
        total = self.latency_ms[-1][1] if self.latency_ms else 0
        if not total:
            return None
        rank, low_edge, low_count = q * total, 0.0, 0
        for edge, count in self.latency_ms:
            if count >= rank and count > low_count:
                if math.isinf(edge):
                    return low_edge
                return low_edge + (edge - low_edge) * (rank - low_count) / (count - low_count)
            low_edge, low_count = edge, count
        return low_edge


class Coverage(NamedTuple):
    """How many proxies a reading asked, of all that run, and how many of these answered."""

    running: int
    asked: int
    answered: int

    def __str__(self) -> str:
        return f"{self.asked:,} of {self.running:,} proxies asked, {self.answered:,} answered"


@dataclass(frozen=True)
class Samples:
    """The answers of each version between two times (seconds since the epoch).

    ``pods`` has the same counts for each pod of each version, if the proxies report them. ``pods`` and
    ``arms`` may be counted on different sides (client or server), so their sums can differ.
    ``asked_percent`` is the share that the new version was given in that time, None if it is not known.
    ``zones`` has the zone of each pod, as far as it is known.
    ``unreached`` has the failed requests for which no pod was chosen: those of a version are part of its
    counts in ``arms``, those under an empty name carry no version and are in no arm.
    ``coverage`` says how many proxies were asked at the end, None if none of them was.
    """

    start_s: float
    end_s: float
    arms: Mapping[str, ArmCounts]
    pods: Mapping[str, Mapping[str, ArmCounts]] = field(default_factory=dict)
    asked_percent: float | None = None
    unreached: Mapping[str, int] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    coverage: Coverage | None = None

    @property
    def requests(self) -> int:
        """The number of requests to all versions."""
        return sum(arm.requests for arm in self.arms.values())

    def share(self, version: str) -> float | None:
        """The measured share of requests to a version in percent, or None without requests."""
        total = self.requests
        return 100.0 * self.arms[version].requests / total if total and version in self.arms else None


def _add_histograms(
    left: tuple[tuple[float, int], ...], right: tuple[tuple[float, int], ...]
) -> tuple[tuple[float, int], ...]:
    if not left or not right:
        return left or right
    edges = sorted({edge for edge, _ in left} | {edge for edge, _ in right})
    if len(edges) != len(left) or len(edges) != len(right):
        raise ValueError("histograms with different edges cannot be added")
    return tuple((edge, a + b) for (edge, a), (_, b) in zip(left, right, strict=True))


@dataclass(frozen=True)
class Need:
    """Objects that a planner reads: all of a kind, in one namespace or (None) in the whole cluster."""

    kind: Kind
    namespace: str | None = None
    within: tuple[str, ...] = ()
    """The namespaces to read instead if the account may not read the whole cluster."""
    optional: bool = False
    """What may not be read is left out, and named in ``Snapshot.unread``."""
