"""What one reading of a mesh shows: workloads, the calls between them, findings, certificates and versions.

The types are plain values, so that every view draws the same facts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from meshkit.decide.formatting import count, percent, rate
from meshkit.facts import ClusterRef, Finding, Severity

Lock = Literal["mutual TLS", "plain text", "not known"]
Place = Literal["mesh", "outside", "unseen"]
"""Where a workload is: in the mesh, outside of it, or not among the pods that were read."""

NO_SIDECAR = "callers without a sidecar"
"""The name of the one workload that stands for all callers without a sidecar: no mesh can tell them apart."""
_SHOWN = 3


@dataclass(frozen=True)
class Workload:
    """A workload (``namespace/name``) with the requests that others sent to it.

    ``error_percent`` is None without requests. ``candidates`` are the workloads that the callers without a
    sidecar may be.
    """

    name: str
    place: Place = "mesh"
    requests_per_s: float = 0.0
    error_percent: float | None = None
    findings: tuple[Finding, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def namespace(self) -> str:
        """The namespace; empty for the callers without a sidecar."""
        return self.name.rpartition("/")[0]

    @property
    def title(self) -> str:
        """The name without its namespace."""
        return "no sidecar" if self.name == NO_SIDECAR else self.name.rpartition("/")[2]

    @property
    def worst(self) -> Severity | None:
        """The severity of its worst finding."""
        return self.findings[0].severity if self.findings else None


@dataclass(frozen=True)
class Connection:
    """The calls of one workload to another.

    ``asked_percent`` is the share that the route gives this destination, and ``measured_percent`` what it got
    of the same caller's calls; both are None where the route does not divide calls between workloads.
    ``request`` is what ``mk.explain`` is asked about these calls; empty where no Service is known.
    """

    source: str
    destination: str
    lock: Lock
    requests_per_s: float
    error_percent: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    refused_per_s: float = 0.0
    asked_percent: float | None = None
    measured_percent: float | None = None
    request: str = ""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its end. ``where`` is the object that holds it."""

    what: str
    where: str
    ends: dt.datetime


@dataclass(frozen=True)
class RunningVersion:
    """A version of the control plane or of sidecars, and how many run it.

    ``until`` is the newest minor version of the control plane that supports these sidecars; empty if the mesh
    does not say.
    """

    what: Literal["control plane", "sidecars"]
    version: str
    running: int
    until: str = ""


@dataclass(frozen=True)
class Glance:
    """One reading of a mesh, of the whole cluster or of some ``namespaces``."""

    mesh: str
    cluster: ClusterRef | None
    taken: dt.datetime
    seconds: float
    workloads: tuple[Workload, ...]
    connections: tuple[Connection, ...]
    findings: tuple[Finding, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    versions: tuple[RunningVersion, ...] = ()
    sidecars: int = 0
    unread_sidecars: int = 0
    not_read: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    @property
    def requests_per_s(self) -> float:
        """The requests of all connections."""
        return sum(each.requests_per_s for each in self.connections)

    @property
    def error_percent(self) -> float | None:
        """Failed requests of the connections whose failures are known; None without requests."""
        known = [each for each in self.connections if each.error_percent is not None]
        total = sum(each.requests_per_s for each in known)
        failed = sum(each.requests_per_s * (each.error_percent or 0.0) for each in known)
        return failed / total if total else None

    @property
    def slowest(self) -> Connection | None:
        """The connection with the highest p99."""
        timed = [each for each in self.connections if each.p99_ms is not None]
        return max(timed, key=lambda each: each.p99_ms or 0.0, default=None)

    @property
    def mutual_tls_percent(self) -> float | None:
        """Requests over mutual TLS, of those whose authentication is known; None without any."""
        known = [each for each in self.connections if each.lock != "not known"]
        total = sum(each.requests_per_s for each in known)
        sealed = sum(each.requests_per_s for each in known if each.lock == "mutual TLS")
        return 100 * sealed / total if total else None

    @property
    def plain(self) -> tuple[Connection, ...]:
        """The connections in plain text."""
        return tuple(each for each in self.connections if each.lock == "plain text")

    @property
    def errors(self) -> int:
        """The number of errors among the findings."""
        return sum(each.severity == "error" for each in self.findings)

    @property
    def warnings(self) -> int:
        """The number of warnings among the findings."""
        return sum(each.severity == "warning" for each in self.findings)

    def within(self, *namespaces: str) -> Glance:
        """The part that concerns some namespaces: their workloads, and the other ends of their calls.

        Findings about objects without a namespace, certificates and versions stay. Without a namespace, the
        whole is returned.
        """
        if not namespaces:
            return self
        ours = {each.name for each in self.workloads if each.namespace in namespaces}
        kept = tuple(c for c in self.connections if ours & {c.source, c.destination})
        named = ours | {name for each in kept for name in (each.source, each.destination)}
        return replace(
            self,
            workloads=tuple(each for each in self.workloads if each.name in named),
            connections=kept,
            findings=tuple(each for each in self.findings if _space(each) in ("", *namespaces)),
            namespaces=namespaces,
        )

    def around(self, name: str) -> Glance:
        """The part that one workload calls or is called by."""
        kept = tuple(each for each in self.connections if name in (each.source, each.destination))
        named = {name, *(end for each in kept for end in (each.source, each.destination))}
        return replace(
            self,
            workloads=tuple(each for each in self.workloads if each.name in named),
            connections=kept,
        )

    @property
    def looked_at(self) -> str:
        """What was looked at, as one sentence."""
        where = f" of {', '.join(self.namespaces)}" if self.namespaces else ""
        missing = f"; {count(self.unread_sidecars)} sidecars did not answer" if self.unread_sidecars else ""
        return (
            f"Looked at {_number(len(self.workloads), 'workload')}{where}, "
            f"{_number(len(self.connections), 'connection')} in {self.seconds:.0f} s, "
            f"{_number(self.sidecars, 'sidecar')}, {_number(len(self.certificates), 'certificate')}{missing}."
        )

    def as_record(self) -> dict[str, Any]:
        """The reading as a JSON-ready mapping."""
        return {
            "mesh": self.mesh,
            "taken": self.taken.isoformat(),
            "seconds": round(self.seconds, 3),
            "namespaces": list(self.namespaces),
            "workloads": [
                {**vars(each), "findings": [f.code for f in each.findings]} for each in self.workloads
            ],
            "connections": [dict(vars(each)) for each in self.connections],
            "findings": [each.as_record() for each in self.findings],
            "certificates": [{**vars(each), "ends": each.ends.isoformat()} for each in self.certificates],
            "versions": [dict(vars(each)) for each in self.versions],
            "sidecars": self.sidecars,
            "unread_sidecars": self.unread_sidecars,
            "not_read": list(self.not_read),
        }

    def __str__(self) -> str:
        return "\n".join([self.looked_at, *self._found()])

    __repr__ = __str__

    def _found(self) -> list[str]:
        lines = [f"{_number(self.errors, 'error')}, {_number(self.warnings, 'warning')}."]
        failed = "" if self.error_percent is None else f", {percent(round(self.error_percent, 2))} failed"
        lines.append(f"{rate(self.requests_per_s)} requests/s{failed}.")
        if self.slowest is not None:
            lines.append(f"Slowest: {arrow(self.slowest)}, p99 {self.slowest.p99_ms:.0f} ms.")
        if self.mutual_tls_percent is not None:
            lines.append(f"Mutual TLS: {tls_share(self)} of the requests whose authentication is known.")
        lines += [f"Plain text: {arrow(each)}, {rate(each.requests_per_s)}/s." for each in self.plain]
        lines += [
            f"{arrow(each)}: {percent(each.asked_percent)} asked, {measured(each)} measured."
            for each in self.connections
            if each.asked_percent is not None
        ]
        ending = sorted(self.certificates, key=lambda each: each.ends)[:_SHOWN]
        lines += [f"{each.what} ({each.where}) ends in {left(each, self.taken)}." for each in ending]
        lines += [f"{each.what.capitalize()}: {running(each)}." for each in self.versions]
        return [*lines, *(f"Not read: {each}." for each in self.not_read)]


def arrow(connection: Connection) -> str:
    """A connection by the names of its two ends."""
    return f"{connection.source} → {connection.destination}"


def measured(connection: Connection) -> str:
    """The measured share for people."""
    share = connection.measured_percent
    return "nothing" if share is None else percent(round(share, 1))


def tls_share(glance: Glance) -> str:
    """The share of mutual TLS for people; 100 % only if there is no plain text at all."""
    share = glance.mutual_tls_percent
    if share is None:
        return "not known"
    return percent(min(round(share, 1), 99.9) if glance.plain else round(share, 1))


def running(version: RunningVersion) -> str:
    """A version, how many run it, and how far the control plane may be ahead of it."""
    until = f", supported by control planes up to {version.until}" if version.until else ""
    return f"{version.version or 'not known'} ({count(version.running)}{until})"


def left(certificate: Certificate, now: dt.datetime) -> str:
    """The time until a certificate ends, for people: ``3 d 5 h``."""
    hours, rest = divmod(int((certificate.ends - now).total_seconds()), 3600)
    if hours < 0:
        return "the past"
    if hours < 24:
        return f"{hours} h {rest // 60} min"
    days = hours // 24
    return f"{days} d {hours % 24} h" if days < 30 else f"{days} d" if days < 730 else f"{days // 365} y"


def _space(finding: Finding) -> str:
    """The namespace of a finding's object; empty for an object without one."""
    kind, _, name = finding.object.partition(" ")
    return name if kind == "Namespace" else name.partition("/")[0] if "/" in name else ""


def _number(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def in_order(connections: Sequence[Connection]) -> tuple[Connection, ...]:
    """Connections with plain text first, then by their requests."""
    rank = {"plain text": 0, "not known": 1, "mutual TLS": 2}
    return tuple(
        sorted(connections, key=lambda c: (rank[c.lock], -c.requests_per_s, c.source, c.destination))
    )
