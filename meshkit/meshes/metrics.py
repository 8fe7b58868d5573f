"""The table that says how a mesh's proxies name their counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MetricTable:
    """How one mesh's proxies tell their counters. Values may hold {service}, {namespace} and {version}.

    A request belongs to the target when every label of ``where`` has its value and those of
    ``where_present`` are absent or have it; it failed when a label of ``failed`` matches its pattern in
    full.

    The pod that answered is named by ``pod_label``; where a mesh has none, the pod's own page tells, in the
    series that differ from ``where`` by ``pod_where`` (the servers' side).
    """

    sidecar: str
    port: int
    path: str
    requests: str
    latency: str
    where: Mapping[str, str]
    where_present: Mapping[str, str]
    version_label: str
    version_value: str
    failed: Mapping[str, str]
    pod_label: str = ""
    pod_where: Mapping[str, str] = field(default_factory=dict)
