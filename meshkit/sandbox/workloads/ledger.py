"""Every request that the load generator sent, in compact arrays: what a canary's verdict is checked against.

A request gets its place when it is *scheduled*, so records lie in the order of their scheduled time, a slow
answer keeps its place, and a question about a time span is a binary search. The newest ``capacity`` records
are kept (600,000: 50 minutes at 200 requests a second, 11 MB).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import TypedDict

PENDING = -1
"""Status of a request that has no outcome yet.

Never shown: a question counts such requests as ``pending``.
"""
NO_ANSWER = 0
"""Status of a request that was refused, reset, or not answered in time."""


class VersionSummary(TypedDict):
    """Requests answered by one version; latencies in ms over all of them, None where there are none."""

    requests: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


class Summary(TypedDict):
    """Counts over a span. Failed: no answer, or a status of 500 and above."""

    requests: int
    failed: int
    pending: int
    by_version: dict[str, VersionSummary]


class Requests(TypedDict):
    """Records over a span as columns.

    ``version`` is the answer's x-version header, empty where it had none.
    """

    scheduled_s: list[float]
    latency_ms: list[float]
    status: list[int]
    version: list[str]
    pending: int


def failed(status: int) -> bool:
    """Whether a request of this status counts as failed: no answer, or the server's error."""
    return status == NO_ANSWER or status >= 500


def percentile(ordered: list[float], fraction: float) -> float | None:
    """Nearest-rank percentile of a sorted list.

    The smallest value with at least ``fraction`` of all at or below.
    """
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)] if ordered else None


class Ledger:
    """A ring of records, addressed by their sequence number."""

    def __init__(self, capacity: int = 600_000) -> None:
        self.capacity = capacity
        self.count = 0
        self._scheduled_s = array("d", bytes(8 * capacity))
        self._latency_ms = array("d", bytes(8 * capacity))
        self._status = array("h", bytes(2 * capacity))
        self._version = array("H", bytes(2 * capacity))
        self._versions: list[str] = [""]
        self._version_index: dict[str, int] = {"": 0}

    def schedule(self, scheduled_s: float) -> int:
        """Open a record for a request due at ``scheduled_s`` (unix time, not before the last one's).

        Returns its number.
        """
        number = self.count
        at = number % self.capacity
        self._scheduled_s[at] = scheduled_s
        self._status[at] = PENDING
        self.count += 1
        return number

    def settle(self, number: int, latency_ms: float, status: int, version: str) -> None:
        """Write the outcome of a request; one that has left the ring by now is forgotten."""
        if number < self.count - self.capacity:
            return
        at = number % self.capacity
        index = self._version_index.get(version)
        if index is None:
            index = self._version_index[version] = len(self._versions)
            self._versions.append(version)
        self._latency_ms[at] = latency_ms
        self._version[at] = index
        self._status[at] = status

    def span(self, since_s: float, until_s: float) -> range:
        """Numbers of the records scheduled at ``since_s`` or later and before ``until_s``."""
        return range(self._first_at_or_after(since_s), self._first_at_or_after(until_s))

    def _first_at_or_after(self, time_s: float) -> int:
        low, high = max(0, self.count - self.capacity), self.count
        while low < high:
            middle = (low + high) // 2
            if self._scheduled_s[middle % self.capacity] < time_s:
                low = middle + 1
            else:
                high = middle
        return low

    def _settled(self, numbers: range) -> Iterator[int]:
        """Places of the records of ``numbers`` that have an outcome."""
        for number in numbers:
            at = number % self.capacity
            if self._status[at] != PENDING:
                yield at

    def requests(self, numbers: range) -> Requests:
        """The records of ``numbers`` as columns, oldest first.

        Times rounded to 0.1 ms, latencies to 0.001 ms.
        """
        places = list(self._settled(numbers))
        return {
            "scheduled_s": [round(self._scheduled_s[at], 4) for at in places],
            "latency_ms": [round(self._latency_ms[at], 3) for at in places],
            "status": [self._status[at] for at in places],
            "version": [self._versions[self._version[at]] for at in places],
            "pending": len(numbers) - len(places),
        }

    def summary(self, numbers: range) -> Summary:
        """Counts and exact percentiles of the records of ``numbers``."""
        latencies: dict[int, list[float]] = {}
        failures: dict[int, int] = {}
        settled = 0
        for at in self._settled(numbers):
            settled += 1
            version = self._version[at]
            latencies.setdefault(version, []).append(self._latency_ms[at])
            failures[version] = failures.get(version, 0) + failed(self._status[at])
        by_version: dict[str, VersionSummary] = {}
        for version, values in latencies.items():
            values.sort()
            by_version[self._versions[version]] = {
                "requests": len(values),
                "failed": failures[version],
                "p50_ms": percentile(values, 0.50),
                "p99_ms": percentile(values, 0.99),
            }
        return {
            "requests": settled,
            "failed": sum(failures.values()),
            "pending": len(numbers) - settled,
            "by_version": by_version,
        }
