"""Records every request of the load generator in compact arrays, to verify a canary's verdict.

A record is created when its request is *scheduled*, so records are in the order of their scheduled time even
if responses are slow, and a query for a time span is a binary search. The ledger keeps the newest
``capacity`` records (the default 600,000 covers 50 minutes at 200 requests per second and uses 11 MB).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import TypedDict

PENDING = -1
"""The internal status of a request without an outcome; queries count these requests as ``pending``."""
NO_ANSWER = 0
"""The status of a request that was refused, reset, or not answered in time."""


class VersionSummary(TypedDict):
    """The requests that one version answered, with latency percentiles, or None without requests."""

    requests: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


class Summary(TypedDict):
    """Request counts over a time span; failed means no response or a status of 500 or above."""

    requests: int
    failed: int
    pending: int
    by_version: dict[str, VersionSummary]


class Requests(TypedDict):
    """The records of a time span as columns.

    ``version`` is the response's x-version header, or empty without one.
    """

    scheduled_s: list[float]
    latency_ms: list[float]
    status: list[int]
    version: list[str]
    pending: int


def failed(status: int) -> bool:
    """Return whether a status counts as failed: no response, or a server error."""
    return status == NO_ANSWER or status >= 500


def percentile(ordered: list[float], fraction: float) -> float | None:
    """Return the nearest-rank percentile of a sorted list, or None for an empty one.

    It is the smallest value such that at least ``fraction`` of all values are less than or equal to it.
    """
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)] if ordered else None


class Ledger:
    """A ring buffer of records, addressed by sequence number."""

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
        """Create a record for a request at ``scheduled_s`` and return its number.

        ``scheduled_s`` is in Unix seconds and must not be earlier than that of the previous record.
        """
        number = self.count
        at = number % self.capacity
        self._scheduled_s[at] = scheduled_s
        self._status[at] = PENDING
        self.count += 1
        return number

    def settle(self, number: int, latency_ms: float, status: int, version: str) -> None:
        """Store the outcome of a request, unless its record has been overwritten."""
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
        """Return the numbers of the records with ``since_s`` <= scheduled time < ``until_s``."""
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
        """Yield the array positions of the records of ``numbers`` that have an outcome."""
        for number in numbers:
            at = number % self.capacity
            if self._status[at] != PENDING:
                yield at

    def requests(self, numbers: range) -> Requests:
        """Return the records of ``numbers`` as columns, oldest first.

        Times are rounded to 0.1 ms and latencies to 0.001 ms.
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
        """Return the counts and exact percentiles of the records of ``numbers``."""
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
