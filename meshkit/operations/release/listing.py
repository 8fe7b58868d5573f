"""``mk.releases``: every release of a cluster in one line each, from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from meshkit.decide.formatting import percent, seconds, stamp
from meshkit.errors import BrokenJournal
from meshkit.operations.release.restoring.lost_journal import percent_now
from meshkit.operations.release.route import route_of
from meshkit.operations.release.runner import runner_of
from meshkit.operations.release.state.fold import BEGIN, begun, fold
from meshkit.operations.release.state.model import ReleaseState

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

LOST = "records deleted"
"""The state of a release whose records were deleted before its end."""
UNREADABLE = "unreadable"
"""The state of a release with a record that meshkit has not written."""
HEADINGS = ("name", "service", "versions", "state", "share", "since", "who", "change")
"""What the cells of a line say."""


@dataclass(frozen=True)
class ReleaseSummary:
    """One run of a release; ``percent`` is the share that it asked for the canary.

    If its records were deleted, it is the share in the route. ``since_s`` is the time of the present state.
    ``runner`` is the process that runs it, None if it has ended or if its process has died.
    """

    name: str
    namespace: str
    service: str
    port: int
    stable: str
    canary: str
    state: str
    percent: float
    started_s: float
    since_s: float
    who: str
    change: str
    ended: bool
    runner: str | None = None
    train: str = ""
    """The train that the release is a member of."""

    def as_record(self) -> dict[str, Any]:
        """The line as a JSON-ready mapping."""
        return asdict(self)

    def cells(self, now_s: float) -> tuple[str, ...]:
        """The line as texts for people, by ``HEADINGS``."""
        ago = seconds(max(0.0, now_s - self.since_s))
        return (
            f"{self.name} (train {self.train})" if self.train else self.name,
            f"{self.namespace}/{self.service}:{self.port}",
            f"{self.stable} to {self.canary}",
            self.state if self.ended or self.runner else f"{self.state}, no process",
            percent(self.percent),
            f"{stamp(self.since_s)} ({ago} ago)",
            self.who,
            self.change,
        )


def releases(cluster: Cluster, *, every_run: bool = False) -> list[ReleaseSummary]:
    """List the latest run of every release of a cluster, or every run, newest first."""
    from meshkit.cluster.journal import Journal

    known = Journal(cluster).of_operation("release")
    found = [line for change, records in known.items() for line in _line(change, records, cluster)]
    found += list(_lost(cluster, {line.change for line in found}))
    found.sort(key=lambda one: one.started_s, reverse=True)
    return found if every_run else list(_latest(found))


def _line(change: str, records: Sequence[Mapping[str, Any]], cluster: Cluster) -> Iterator[ReleaseSummary]:
    """The line of one run, none for a run that has not begun."""
    try:
        if state := _folded(records):
            yield _summary(state, cluster)
    except BrokenJournal:
        yield _unreadable(str(records[0].get("target", "")), change, records[0])


def _unreadable(name: str, change: str, record: Mapping[str, Any]) -> ReleaseSummary:
    """The line of a run of which only the journal's own fields can be read."""
    texts = dict.fromkeys(("namespace", "service", "stable", "canary"), "?")
    return ReleaseSummary(
        **{
            **texts,
            "name": name or "?",
            "state": UNREADABLE,
            "change": change,
            "who": str(record.get("who", "?")),
        },
        port=0,
        percent=0.0,
        started_s=0.0,
        since_s=0.0,
        ended=True,
    )


def _folded(records: Sequence[Mapping[str, Any]]) -> ReleaseState | None:
    """The state from the records without their sample windows, of which the last one is enough."""
    if not any(record.get("kind") == BEGIN for record in records):
        return None
    last = max((n for n, record in enumerate(records) if record.get("kind") == "look"), default=-1)
    return fold(record for n, record in enumerate(records) if record.get("kind") != "look" or n == last)


def _latest(found: Iterable[ReleaseSummary]) -> Iterator[ReleaseSummary]:
    seen: set[str] = set()
    for one in found:
        if one.name not in seen:
            yield one
        seen.add(one.name)


def _lost(cluster: Cluster, known: set[str]) -> Iterator[ReleaseSummary]:
    """The releases whose records are gone, from what the ConfigMaps of their names keep."""
    from meshkit.operations.release.commands import Mailbox, names

    for name in names(cluster):
        mailbox = Mailbox(cluster, name)
        begin, end = mailbox.begin(), mailbox.end()
        if begin is None or str(begin.get("change_id")) in known:
            continue
        try:
            yield _kept(begin, end, cluster)
        except BrokenJournal:
            yield _unreadable(name, str(begin.get("change_id", "?")), begin)


def _kept(begin: Mapping[str, Any], end: Mapping[str, Any] | None, cluster: Cluster) -> ReleaseSummary:
    """The line of a run from its first and last record, which the ConfigMap of its name keeps."""
    if end is not None:
        return _summary(fold([begin, end]), cluster)
    state = begun(begin)
    percent = percent_now(route_of(state.route), state.release, cluster)
    return replace(_summary(state, cluster, LOST), percent=percent or 0.0)


def _summary(state: ReleaseState, cluster: Cluster, word: str = "") -> ReleaseSummary:
    release = state.release
    since_s = state.ended_s or state.held_s or state.shifted_s or state.started_s
    return ReleaseSummary(
        name=release.name,
        namespace=release.namespace,
        service=release.service,
        port=release.port,
        stable=release.stable,
        canary=release.canary,
        state=word or state.status.replace("_", " "),
        percent=state.asked_percent,
        started_s=state.started_s,
        since_s=since_s,
        who=state.events[0].who if state.events else "",
        change=state.change_id,
        ended=state.ended,
        train=state.train,
        runner=None if state.ended else runner_of(release, cluster),
    )
