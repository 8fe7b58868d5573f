"""The evidence of a release: one JSON file with its records, each chained to the one before by SHA-256.

The file has one line for each record of the journal: the release, the versions, every sample window with
its verdict and the arithmetic of it, commands and who gave them, and every change of weights. The last hash
is also in the journal (``seal``), so that a file whose hashes were all computed anew is found out. Only the
fields listed here are copied; the salt of the journal, managed fields and the matches of a route stay out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, NoData, UnknownName
from meshkit.operations.release.gates.waiting import GATE
from meshkit.operations.release.state.fold import BEGIN, DECIDED, GIVEN_BACK, TAKEN_AGAIN

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal

KIND, FORMAT = "meshkit release evidence", 1
SEALED = "sealed"
"""The kind of the record with the hash of all records before it."""
NOTHING = "0" * 64
"""The hash before the first record."""
_ALWAYS = ("kind", "event", "at", "at_s", "who", "writer")
_START = ("operation", "mesh", "target", "what", "why")
_ROUTE = (
    "kind",
    "namespace",
    "name",
    "rule",
    "rules",
    "destinations",
    "stable",
    "canary",
    "port",
)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    BEGIN: ("change_id", "release", "mesh", "object", "route", "weights", "versions", "train"),
    "look": ("look", "verdict"),
    "weights": ("step", "asked_percent", "change", "ready"),
    "agreed": ("measured_percent", "requests"),
    "command": ("command_id", "verb"),
    GATE: ("gate", "answer", "why"),
    "note": ("text",),
    DECIDED: ("result",),
    "end": ("state", "result", "sentences", "percent", "change"),
    "undone": ("state",),
    GIVEN_BACK: ("state", "change", "percent"),
    TAKEN_AGAIN: ("state", "change", "percent"),
    SEALED: ("records", "sha256"),
}


@dataclass(frozen=True)
class Link:
    """One record in the chain: its fields, the hash before it, and its own."""

    number: int
    record: Mapping[str, Any]
    previous: str
    sha256: str

    @property
    def line(self) -> str:
        """The line of the file, without the comma."""
        return canonical(
            {"n": self.number, "previous": self.previous, "record": self.record, "sha256": self.sha256}
        )


def canonical(value: Any) -> str:
    """Encode a value as JSON in the one form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def hash_of(previous: str, record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record and of the hash before it."""
    return hashlib.sha256(f"{previous}\n{canonical(record)}".encode()).hexdigest()


def chain(records: Sequence[Mapping[str, Any]]) -> list[Link]:
    """Chain the records of a journal, with the fields that belong into evidence."""
    links: list[Link] = []
    for number, each in enumerate(records):
        record, previous = _shown(each), links[-1].sha256 if links else NOTHING
        links.append(Link(number, record, previous, hash_of(previous, record)))
    return links


def bundle(records: Sequence[Mapping[str, Any]]) -> str:
    """Write the evidence of a release as the text of a JSON file, one line for each record.

    Raises ``BadInput`` for a change that is no release.
    """
    begin = next((record for record in records if record.get("kind") == BEGIN), None)
    if begin is None:
        raise BadInput("change", "it is no release.", remedy="'meshkit release list --all' lists them.")
    return text_of(str(begin["release"]["name"]), str(begin["change_id"]), chain(records))


def text_of(release: str, change_id: str, links: Sequence[Link]) -> str:
    """Return the text of a file with these records."""
    head = canonical({"change": change_id, "format": FORMAT, "kind": KIND, "release": release})
    lines = ",\n".join(link.line for link in links)
    last = links[-1].sha256 if links else NOTHING
    return f'{head[:-1]},"records":[\n{lines}\n],"sha256":"{last}"}}\n'


def seal(change_id: str, journal: Journal) -> None:
    """Append the hash of all records of a release to its journal."""
    links = chain(journal.records(change_id))
    journal.append(change_id, {"kind": SEALED, "records": len(links), "sha256": links[-1].sha256})


def release_evidence(release: str, cluster: Cluster, *, change_id: str = "") -> str:
    """Return the evidence of a release, as the text of a JSON file that ``mk.verify_evidence`` verifies.

    It is that of the latest run, or of the run with the id ``change_id``. Raises ``UnknownName`` if the
    release was never started, and ``NoData`` if its records were deleted.
    """
    from meshkit.cluster.journal import Journal
    from meshkit.operations.release.commands import Mailbox, names

    change = change_id or Mailbox(cluster, release).change_id()
    if change is None:
        raise UnknownName("release", release, names(cluster))
    journal = Journal(cluster)
    if not journal.has(change):
        raise NoData(
            f"The records of release {release} (change {change}) were deleted from the cluster.",
            remedy="Only a file that was exported before has them.",
        )
    return bundle(journal.records(change))


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that belong into evidence."""
    kind = str(record.get("kind") or "")
    if kind == "baseline":  # Numbers of the stable version only.
        return dict(record)
    wanted = (*_ALWAYS, *(_START if record.get("event") == "start" else _FIELDS.get(kind, ())))
    shown = {name: record[name] for name in wanted if name in record}
    if "route" in shown:
        shown["route"] = {name: shown["route"][name] for name in _ROUTE if name in shown["route"]}
    return shown
