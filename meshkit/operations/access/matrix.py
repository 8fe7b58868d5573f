"""The matrix of callers, Services and ports that the servers' sidecars have counted, and rules from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from meshkit.cluster.connect import Cluster
from meshkit.decide.formatting import count
from meshkit.errors import BadInput
from meshkit.intent.document import written
from meshkit.intent.security import Access, Caller
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.metrics import UNKNOWN, ServerCall
from meshkit.observe.server_calls import ServerCalls, calls_between, read_server_calls
from meshkit.operations.access.observed import ObservedServers, Place, enforced
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.explain import explainer_of
from meshkit.operations.which_mesh import mesh_of

WINDOW_S = 30.0
_NOBODY = "no-namespace/no-account"
LONGEST_S = 7 * 86400.0


@dataclass(frozen=True)
class AccessRow:
    """The calls of one caller to a port of a Service; ``port`` is None where the counters do not tell it."""

    caller: str
    """The account as ``namespace/name``, or ``unknown`` without an identity."""
    service: str
    port: int | None
    in_window: int
    in_all: int


@dataclass(frozen=True)
class AccessMatrix:
    """Who calls the Services of a namespace: rows with counts, the window, the coverage and the source.

    ``ruled`` are the Services that have access rules already; nothing is proposed for them.
    """

    namespace: str
    mesh: str
    rows: tuple[AccessRow, ...]
    coverage: str
    source: str
    window_s: float
    seen_s: float
    asked: int
    answered: int
    ruled: frozenset[str] = frozenset()

    def intents(self, mode: Literal["shadow", "enforce"] = "shadow") -> tuple[Access, ...]:
        """Propose one ``Access`` per Service, or one per port where the callers of its ports differ.

        Callers without an identity cannot be allowed and are left out, as are Services with rules already.
        """
        by_service: dict[str, dict[int | None, set[str]]] = {}
        for row in self.rows:
            if row.caller != UNKNOWN and row.service not in self.ruled:
                by_service.setdefault(row.service, {}).setdefault(row.port, set()).add(row.caller)
        return tuple(
            intent
            for service, ports in sorted(by_service.items())
            for intent in self._of_service(service, ports, mode)
        )

    def _of_service(
        self, service: str, ports: Mapping[int | None, set[str]], mode: Literal["shadow", "enforce"]
    ) -> Sequence[Access]:
        together = set().union(*ports.values())
        if None in ports or len(ports) == 1:
            return [self._access(service, next(iter(ports)) if len(ports) == 1 else None, together, mode)]
        if all(callers == together for callers in ports.values()):
            return [self._access(service, None, together, mode)]
        return [
            self._access(service, port, callers, mode, name=f"access-{port}")
            for port, callers in sorted(ports.items(), key=lambda pair: pair[0] or 0)
        ]

    def _access(
        self,
        service: str,
        port: int | None,
        callers: set[str],
        mode: Literal["shadow", "enforce"],
        name: str = "access",
    ) -> Access:
        pairs = (caller.partition("/") for caller in sorted(callers))
        who = tuple(Caller(namespace=space, service_account=account) for space, _, account in pairs)
        return Access(namespace=self.namespace, service=service, port=port, callers=who, mode=mode, name=name)

    def save(self, path: str | Path) -> Path:
        """Write the proposed rules, on trial, to a file of intents, and return its path.

        Raises ``BadInput`` if it cannot be written.
        """
        try:
            Path(path).write_text(written(self.intents()), encoding="utf-8")
        except OSError as error:
            problem = f"{path} cannot be written: {error}."
            raise BadInput("file", problem, remedy="Choose a folder that you can write to.") from error
        return Path(path)

    def as_record(self) -> dict[str, Any]:
        """The matrix as a JSON-ready mapping."""
        return {
            "namespace": self.namespace,
            "mesh": self.mesh,
            "window_s": round(self.window_s, 3),
            "seen_s": round(self.seen_s, 3),
            "sidecars": {"asked": self.asked, "answered": self.answered},
            "source": self.source,
            "rows": [asdict(row) for row in self.rows],
            "ruled": sorted(self.ruled),
        }

    def __str__(self) -> str:
        head = ("caller", "service", "port", "in the window", "since the start")
        rows = [
            (
                "unknown (no identity: every rule refuses it)" if row.caller == UNKNOWN else row.caller,
                row.service,
                "not told" if row.port is None else str(row.port),
                count(row.in_window),
                count(row.in_all),
            )
            for row in self.rows
        ]
        widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
        table = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in (head, *rows)
        ]
        lines = [*table, f"{self.coverage}.", f"Source: {self.source}."]
        if not self.rows:
            lines[:1] = ["No calls were seen, which does not mean that there are none."]
        if self.ruled:
            lines.append(f"With rules already: {', '.join(sorted(self.ruled))}.")
        return "\n".join(lines)

    __repr__ = __str__


def access_matrix(
    cluster: Cluster,
    namespace: str,
    *,
    mesh: str | None = None,
    window_s: float = WINDOW_S,
    clock: Clock | None = None,
) -> AccessMatrix:
    """Count for ``window_s`` seconds who calls the Services of a namespace; changes nothing.

    The counts since the sidecars started are included. Raises ``NoData`` if no pod has a sidecar.
    """
    require_duration("window_s", window_s)
    row = registry.mesh(mesh_of(cluster, mesh, (namespace,)))
    before = read_server_calls(cluster, row.name, namespace)
    (clock or SystemClock()).sleep(window_s)
    calls = calls_between(before, read_server_calls(cluster, row.name, namespace))
    explainer, _ = explainer_of(cluster, row, (namespace,))
    return matrix_of(calls, ObservedServers(explainer, namespace), row)


def require_duration(field: str, seconds: float) -> None:
    """Raise ``BadInput`` for a time that is not between 0 and a week."""
    if not 0 < seconds <= LONGEST_S:
        problem = f"{seconds:g} is not between 0 and {LONGEST_S:g}."
        raise BadInput(field, problem, remedy="Use 30 to 3600 s; longer for callers that are rare.")


def matrix_of(calls: ServerCalls, servers: ObservedServers, row: Mesh) -> AccessMatrix:
    """The matrix of calls that were counted."""
    found: dict[tuple[str, Place], list[int]] = {}
    for call, in_all in calls.in_all.items():
        place = servers.place(call) if call.caller else None
        if place is not None:
            sums = found.setdefault((call.caller, place), [0, 0])
            sums[0] += calls.in_window.get(call, 0)
            sums[1] += in_all
    rows = [AccessRow(caller, place.service, place.port, *sums) for (caller, place), sums in found.items()]
    rows.sort(key=lambda each: (each.service, each.port or 0, -each.in_all, each.caller))
    counters = row.metrics.server_calls
    return AccessMatrix(
        servers.namespace,
        row.name,
        tuple(rows),
        calls.coverage[0].upper() + calls.coverage[1:],
        counters.source if counters else "none",
        calls.window_s,
        calls.seen_s,
        calls.asked,
        calls.answered,
        _ruled(servers, row, calls.in_all),
    )


def _ruled(servers: ObservedServers, row: Mesh, calls: Iterable[ServerCall]) -> frozenset[str]:
    """The Services with access rules, enforced or on trial: an account that does not exist is refused."""
    all_enforced = ObservedServers(enforced(servers.explainer, row), servers.namespace)
    strangers = {call._replace(caller=_NOBODY) for call in calls}
    ruled = (call for call in strangers if all_enforced.judge(call) != "allowed")
    return frozenset(place.service for call in ruled if (place := servers.place(call)))
