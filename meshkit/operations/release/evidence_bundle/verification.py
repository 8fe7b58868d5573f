"""Verify the evidence of a release: its bytes, its hashes, its verdicts, and the journal it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, MeshkitError, NoData
from meshkit.operations.release.evidence_bundle.bundle import (
    FORMAT,
    KIND,
    NOTHING,
    SEALED,
    Link,
    chain,
    hash_of,
    text_of,
)
from meshkit.operations.release.evidence_bundle.replay import replayed
from meshkit.operations.release.state.fold import BEGIN
from meshkit.version import __version__

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

_LINES_BEFORE = 1
"""The first record is on the second line."""


@dataclass(frozen=True)
class Verification:
    """What ``mk.verify_evidence`` found; ``problems`` is empty if the evidence is intact.

    ``verdicts`` counts those that were recomputed. ``compared`` says what the journal was asked, empty if it
    was not.
    """

    release: str
    change: str
    result: str
    records: int
    verdicts: int
    sha256: str
    sealed: bool
    problems: tuple[str, ...] = ()
    compared: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def as_record(self) -> dict[str, Any]:
        """The result as a JSON-ready mapping."""
        return {**asdict(self), "intact": self.intact, "problems": list(self.problems)}

    def __str__(self) -> str:
        what = f"Release {self.release}, change {self.change}"
        if self.problems:
            return "\n".join([f"{what}: the evidence is not intact.", *self.problems])
        sealed = "sealed by its last hash" if self.sealed else "without a seal: the release has not ended"
        lines = [
            f"{what}: the evidence is intact, and {sealed}.",
            f"{self.records} records, {self.verdicts} verdicts recomputed from the samples: {self.result}.",
            f"SHA-256 {self.sha256}",
        ]
        return "\n".join([*lines, *([self.compared] if self.compared else [])])

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class _File:
    release: str
    change: str
    links: tuple[Link, ...]
    sha256: str

    @property
    def records(self) -> list[Mapping[str, Any]]:
        return [link.record for link in self.links]


def verify_evidence(text: str, cluster: Cluster | None = None) -> Verification:
    """Verify the evidence that ``mk.release_evidence`` returned; without a cluster, this needs no network.

    Every hash is computed again, and every verdict from its samples. With a cluster, the records are also
    compared with those in its journal. Raises ``BadInput`` if the text is no evidence of a release, and
    ``NoData`` if the journal has no records of the release.
    """
    try:
        file = _parsed(text)
    except _Damaged as damaged:
        return Verification("?", "?", "unknown", 0, 0, "", False, (str(damaged),))
    problems = [*_changed(text, file), *_broken(file)]
    replay, sealed = None, any(record.get("kind") == SEALED for record in file.records)
    try:
        replay = replayed([{"managed_fields": [], **record} for record in file.records])
        if replay is None:
            problems.append("The evidence has no record of the release's begin.")
        else:
            problems += [f"{_named(file.links[n])}: {found}." for n, found in replay.problems]
    except (MeshkitError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        problems.append(f"The records cannot be read as those of a release: {error!r}.")
    if replay and replay.problems and (note := _other_version(file)):
        problems.append(note)
    compared = ""
    if cluster is not None:
        differences, compared = _compared(file, cluster)
        problems += differences
    return Verification(
        release=file.release,
        change=file.change,
        result=replay.state.status if replay else "unknown",
        records=len(file.links),
        verdicts=replay.verdicts if replay else 0,
        sha256=file.sha256,
        sealed=sealed,
        problems=tuple(dict.fromkeys(problems)),
        compared=compared,
    )


class _Damaged(ValueError):
    """The text was evidence, and cannot be read any more."""


def _parsed(text: str) -> _File:
    """Read the file; raise ``_Damaged`` naming the record that cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if KIND not in text[:1000]:
            raise _no_evidence() from error
        raise _Damaged(f"{_line_named(text, _damaged_line(text))} is no JSON of a record.") from error
    if not isinstance(found, dict) or not isinstance(found.get("records"), list):
        raise _no_evidence()
    if found.get("kind") != KIND or found.get("format") != FORMAT:
        raise _no_evidence()
    links = []
    for n, each in enumerate(found["records"]):
        if not isinstance(each, dict) or not isinstance(each.get("record"), dict):
            raise _Damaged(f"Record {n} has no fields.")
        links.append(
            Link(each.get("n", -1), each["record"], str(each.get("previous")), str(each.get("sha256")))
        )
    return _File(str(found.get("release")), str(found.get("change")), tuple(links), str(found.get("sha256")))


def _no_evidence() -> BadInput:
    return BadInput(
        "evidence",
        f"it is no file of kind {KIND!r}, format {FORMAT}.",
        remedy="Write one with 'meshkit evidence export RELEASE -o FILE'.",
    )


def _changed(text: str, file: _File) -> list[str]:
    """Name the line whose bytes are not those that an export writes."""
    written = text_of(file.release, file.change, file.links)
    if text == written:
        return []
    pairs = zip(text.splitlines(), written.splitlines(), strict=False)
    line = next((n for n, (one, other) in enumerate(pairs, start=1) if one != other), None)
    line = line or min(len(text.splitlines()), len(written.splitlines()))
    return [f"{_line_named(text, line)} is not as it was exported."]


def _damaged_line(text: str) -> int:
    """The first line that cannot be one of a record, else the last."""
    lines = text.splitlines()
    for number, line in enumerate(lines[_LINES_BEFORE:-1], start=1 + _LINES_BEFORE):
        try:
            json.loads(line.removesuffix(","))
        except (ValueError, RecursionError):
            return number
        if not line.endswith(",") and number < len(lines) - 1:
            return number
    return len(lines)


def _line_named(text: str, line: int) -> str:
    number = line - 1 - _LINES_BEFORE
    last = len(text.splitlines()) - 1 - _LINES_BEFORE
    return f"Record {number} (line {line})" if 0 <= number < last else f"Line {line}, outside of the records,"


def _broken(file: _File) -> list[str]:
    """Name the records whose hashes are not those of their contents."""
    problems, previous = [], NOTHING
    for number, link in enumerate(file.links):
        if link.number != number:
            problems.append(
                f"Record {number} has the number {link.number}: a record is missing or was added."
            )
        if link.previous != previous:
            problems.append(f"{_named(link)}: the hash of the record before it is not {link.previous}.")
        if link.sha256 != hash_of(link.previous, link.record):
            problems.append(f"{_named(link)}: its SHA-256 is not that of its fields.")
        seal = (link.record.get("records"), link.record.get("sha256"))
        if link.record.get("kind") == SEALED and seal != (number, previous):
            problems.append(f"{_named(link)}: the journal was sealed with another hash.")
        previous = link.sha256
    if file.sha256 != previous:
        problems.append("The last hash of the file is not that of its last record.")
    begin = next((record for record in file.records if record.get("kind") == BEGIN), {})
    names = (begin.get("change_id"), (begin.get("release") or {}).get("name"))
    if begin and names != (file.change, file.release):
        problems.append("The first line names another release than the records.")
    return problems


def _named(link: Link) -> str:
    what = link.record.get("kind") or link.record.get("event") or "unknown"
    return f"Record {link.number} ({what} at {link.record.get('at', '?')})"


def _other_version(file: _File) -> str:
    """Say that another version of meshkit wrote the verdicts; empty if it was this one."""
    begin = next((record for record in file.records if record.get("kind") == BEGIN), {})
    wrote = (begin.get("versions") or {}).get("meshkit")
    if wrote in (None, __version__):
        return ""
    return f"Version {wrote} of meshkit wrote the verdicts; this is {__version__}. Verify with that version."


def _compared(file: _File, cluster: Cluster) -> tuple[list[str], str]:
    """How the file differs from the journal, and what was compared."""
    from meshkit.cluster.journal import Journal

    journal = Journal(cluster)
    if not journal.has(file.change):
        raise NoData(
            f"The journal of cluster {cluster} has no records of change {file.change}.",
            remedy="Choose the cluster of the release; a journal keeps 90 days.",
        )
    return _differences(file.links, chain(journal.records(file.change)), str(cluster))


def _differences(ours: Sequence[Link], theirs: Sequence[Link], cluster: str) -> tuple[list[str], str]:
    for link, other in zip(ours, theirs, strict=False):
        if link.sha256 != other.sha256:
            return [f"{_named(link)}: the journal of cluster {cluster} has another record."], ""
    if len(ours) > len(theirs):
        where = _named(ours[len(theirs)])
        return [f"{where}: the journal of cluster {cluster} has no such record."], ""
    more = len(theirs) - len(ours)
    later = f"; it has {more} later records" if more else ""
    return [], f"The records are those in the journal of cluster {cluster}{later}."
