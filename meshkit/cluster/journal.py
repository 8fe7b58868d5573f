"""The journal of changes, stored in the cluster so that any user can resume or undo a change.

A change is a chain of ConfigMaps in ``meshkit-system`` with JSON records under rising numbers. Records are
only appended, by a merge patch with the resourceVersion that was seen last: if two writers collide, the
server refuses one, which reads again. A ConfigMap takes no more records after 8 KiB, because every append
makes the server write the whole ConfigMap; a longer record, of at most 256 KiB, has a ConfigMap of its own.
Records that belong together are one text, so that one request writes them all. The journal contains no
Secrets: executor.py keeps their prior state in a Secret.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, BrokenJournal, ClusterError, Conflict, UnknownName
from meshkit.facts import Kind
from meshkit.kube.compressed import MOST_BYTES, packed, unpacked

NAMESPACE = "meshkit-system"
CONFIG_MAP = Kind("v1", "ConfigMap")
PART_BYTES = 256 * 1024
"""The most that records written by one request may have, when packed; records that have more are divided."""
_FULL_BYTES = 8 * 1024
"""The size from which a ConfigMap takes no more records."""
KEPT_DAYS = 90
_CHANGE, _PART = "meshkit.dev/change", "meshkit.dev/part"
_PACK_BYTES = 1024
_GZIP = "gzip:"
_CHANGE_BYTES = 128 * 1024 * 1024
"""The most text that the records of one change have together, decompressed."""
_ATTEMPTS = 20
_TOGETHER = "together"
"""The field of a text with the records that one request wrote."""
_FIRST = ("at", "who", "what", "why")
_MEND = "Restore the ConfigMap, or delete it; the change can then not be undone."
_NO_OPERATION = ""
"""The operation of a change whose record names none."""


@dataclass(frozen=True)
class Operation:
    """The operation that a change belongs to, by which undo and resume find it in the journal.

    ``name`` is the operation (apply, setup, upgrade, release, ...) and ``target`` its target: a stage, a
    version, a namespace. ``facts`` has more data for later decisions. ``what`` and ``why`` of a change are
    text for users only: no code depends on them.
    """

    name: str
    mesh: str = ""
    target: str = ""
    facts: Mapping[str, str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangeSummary:
    """A change in the list of ``history``.

    ``state`` is ``open``, the last recorded result, or ``unreadable`` for a journal that others have broken.
    """

    id: str
    started: str
    """The start time, as ISO 8601 in UTC."""
    who: str
    what: str
    why: str
    state: str
    operation: Operation = Operation(_NO_OPERATION)

    @property
    def has_operation(self) -> bool:
        """Whether the change names its operation; a change that does not can be undone by its id only."""
        return self.operation.name != _NO_OPERATION


@dataclass(frozen=True)
class _End:
    """The newest ConfigMap of a change as this process knows it."""

    number: int
    name: str
    resource_version: str
    records: int
    size_bytes: int

    @classmethod
    def of(cls, part: Mapping[str, Any]) -> _End:
        meta, data = part["metadata"], part.get("data") or {}
        size_bytes = sum(map(len, data.values()))
        return cls(_part_number(part), meta["name"], meta["resourceVersion"], len(data), size_bytes)


class Journal:
    """The journal of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = cluster.api
        self._ends: dict[str, _End] = {}

    def start(self, operation: Operation, what: str, why: str = "", *, id: str = "") -> str:
        """Start a change and return its id, by default a new one. Deletes changes older than 90 days."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        if self._api.get(Kind("v1", "Namespace"), NAMESPACE) is None:
            self._api.apply(namespace)
        self._drop_old()
        change = id or new_id()
        first = {
            "event": "start",
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": self._api.whoami(),
            "operation": operation.name,
            "mesh": operation.mesh,
            "target": operation.target,
            "facts": dict(operation.facts),
            "what": what,
            "why": why,
            "salt": secrets.token_hex(16),
        }
        self._create_part(change, 0, _packed(first))
        return change

    def append(self, id: str, record: Mapping[str, Any]) -> None:
        """Append a record with the present time as ``at``."""
        self._write(id, _packed(_stamped(record)))

    def append_together(self, id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records by one request, or by a few where they are too long for one.

        When this returns, all of them are stored.
        """
        if len(records) < 2:
            for record in records:
                self.append(id, record)
            return
        text = _text({_TOGETHER: [_stamped(record) for record in records]})
        short = _shortened(text) if len(text) <= MOST_BYTES // 4 else ""
        if short and len(short) <= PART_BYTES:
            self._write(id, short)
            return
        half = len(records) // 2
        self.append_together(id, records[:half])
        self.append_together(id, records[half:])

    def _write(self, id: str, text: str) -> None:
        for _ in range(_ATTEMPTS):
            end = self._end(id)
            try:
                if end.size_bytes + len(text) > _FULL_BYTES:
                    self._create_part(id, end.number + 1, text)
                else:
                    patch = {
                        "metadata": {"resourceVersion": end.resource_version},
                        "data": {f"{end.records:06d}": text},
                    }
                    self._ends[id] = _End.of(self._api.merge_patch(CONFIG_MAP, end.name, NAMESPACE, patch))
            except ClusterError as error:
                # Others have written, or have deleted the ConfigMap; else it is not known what is stored.
                self._ends.pop(id, None)
                if not isinstance(error, Conflict) and error.status != 404:
                    raise
                continue
            return
        raise Conflict(
            f"The journal of change {id} could not be written: others write to it.", remedy="Try again."
        )

    def records(self, id: str) -> list[dict[str, Any]]:
        """All records of a change, oldest first.

        Raises ``UnknownName`` for an unknown change and ``BrokenJournal`` for one that cannot be read.
        """
        parts = self._parts(id)
        if not parts:
            raise UnknownName("change", id, (change.id for change in self.changes()))
        try:
            return _records(parts)
        except _Broken as error:
            raise BrokenJournal(
                f"The journal of change {id} cannot be read: {error}.", remedy=_MEND
            ) from error

    def has(self, id: str) -> bool:
        """Whether the journal has records of a change."""
        return bool(self._parts(id))

    def salt(self, id: str) -> str:
        """The salt for the hashes of a change, which protects the values of Secrets."""
        return str(self.records(id)[0]["salt"])

    def changes(self) -> list[ChangeSummary]:
        """All changes, newest first; those that cannot be read come last and name what is wrong."""
        found = [_listed(change, parts) for change, parts in self._parts_by_change().items()]
        return sorted(found, key=lambda change: change.started, reverse=True)

    def of_operation(self, name: str) -> dict[str, list[dict[str, Any]]]:
        """The records of every change of an operation by its id, newest first.

        Changes that cannot be read are left out.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for change, parts in self._parts_by_change().items():
            try:
                records = _records(parts)
            except _Broken:
                continue
            if operation_of(records[0]).name == name:
                found[change] = records
        return dict(sorted(found.items(), key=lambda item: str(item[1][0]["at"]), reverse=True))

    def _parts_by_change(self) -> dict[str, list[dict[str, Any]]]:
        by_change: dict[str, list[dict[str, Any]]] = {}
        for part in self._api.list(CONFIG_MAP, NAMESPACE, _CHANGE):
            by_change.setdefault(part["metadata"]["labels"][_CHANGE], []).append(part)
        return by_change

    def _parts(self, change: str) -> list[dict[str, Any]]:
        return sorted(self._api.list(CONFIG_MAP, NAMESPACE, f"{_CHANGE}={change}"), key=_part_number)

    def _end(self, change: str) -> _End:
        """The ConfigMap to append to: the last known one, or a newer one that another process has begun."""
        end = self._ends.get(change)
        if end is None:
            parts = self._parts(change)
            if not parts:
                raise UnknownName("change", change, (known.id for known in self.changes()))
            end = _End.of(parts[-1])
        elif end.size_bytes > _FULL_BYTES // 2:
            while part := self._api.get(CONFIG_MAP, _part_name(change, end.number + 1), NAMESPACE):
                end = _End.of(part)
        self._ends[change] = end
        return end

    def _create_part(self, change: str, number: int, text: str) -> None:
        labels = {_CHANGE: change, _PART: str(number)}
        part = {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.kind,
            "metadata": {"name": _part_name(change, number), "namespace": NAMESPACE, "labels": labels},
            "data": {"000000": text},
        }
        self._ends[change] = _End.of(self._api.create(part))

    def _drop_old(self) -> None:
        oldest = f"{datetime.now(UTC) - timedelta(days=KEPT_DAYS):%Y%m%d-%H%M%S}"
        for part in self._api.list(CONFIG_MAP, NAMESPACE, _CHANGE):
            if part["metadata"]["labels"][_CHANGE] < oldest:
                self._api.delete(CONFIG_MAP, part["metadata"]["name"], NAMESPACE)


def new_id() -> str:
    """Make the id of a new change from the present time and a random part."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@contextmanager
def reading_records(what: str) -> Iterator[None]:
    """Raise ``BrokenJournal`` if a record has not the fields that its reader needs.

    Anyone who may write to the journal's namespace can have written it.
    """
    try:
        yield
    except (AttributeError, BadInput, LookupError, TypeError, ValueError) as error:
        problem = f"has no {error}" if isinstance(error, KeyError) else "is not what meshkit writes"
        raise BrokenJournal(
            f"The journal of {what} cannot be read: a record {problem}.", remedy=_MEND
        ) from error


class _Broken(ValueError):
    """A ConfigMap of the journal that does not hold what meshkit writes."""


def _part_name(change: str, number: int) -> str:
    return f"change-{change}-{number}"


def _part_number(part: Mapping[str, Any]) -> int:
    number = str(part["metadata"]["labels"].get(_PART, ""))
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _records(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of a change. Raises ``_Broken``, which names the ConfigMap and the key."""
    numbers = {_part_number(part) for part in parts}
    if lost := sorted(set(range(max(numbers, default=0))) - numbers):
        raise _Broken(f"its part {lost[0]} of {max(numbers) + 1} was deleted")
    found: list[dict[str, Any]] = []
    size = 0
    for part in sorted(parts, key=_part_number):
        for key, text in sorted((part.get("data") or {}).items()):
            where = f"{key} of ConfigMap {NAMESPACE}/{part['metadata']['name']}"
            written = _written(text, where)
            size += len(written)
            if size > _CHANGE_BYTES:
                raise _Broken(f"its records up to {where} have more than {_CHANGE_BYTES} characters")
            found += _unpacked(written, where)
    missing = [name for name in _FIRST if not isinstance(found[0].get(name), str)] if found else list(_FIRST)
    if missing:
        where = f"ConfigMap {NAMESPACE}/{parts[0]['metadata']['name']}"
        raise _Broken(f"the first record of {where} has no {', '.join(missing)}")
    return found


def _listed(change: str, parts: list[dict[str, Any]]) -> ChangeSummary:
    try:
        return _summary(change, _records(parts))
    except _Broken as error:
        return ChangeSummary(change, "", "", f"It cannot be read: {error}. {_MEND}", "", "unreadable")


def _summary(change: str, records: list[dict[str, Any]]) -> ChangeSummary:
    first = records[0]
    state = next((str(record["state"]) for record in reversed(records) if "state" in record), "open")
    return ChangeSummary(
        id=change,
        started=first["at"],
        who=first["who"],
        what=first["what"],
        why=first["why"],
        state=state,
        operation=operation_of(first),
    )


def operation_of(first: Mapping[str, Any]) -> Operation:
    """The operation in the first record of a change."""
    return Operation(
        name=str(first.get("operation", _NO_OPERATION)),
        mesh=str(first.get("mesh", "")),
        target=str(first.get("target", "")),
        facts=first.get("facts") or {},
    )


def _stamped(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}


def _packed(record: Mapping[str, Any]) -> str:
    return _shortened(_text(record))


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))


def _shortened(text: str) -> str:
    """The text, compressed if it is long (a CustomResourceDefinition shrinks to a tenth)."""
    if len(text) <= _PACK_BYTES:
        return text
    return _GZIP + packed(text)


def _written(text: str, where: str) -> str:
    try:
        return unpacked(text.removeprefix(_GZIP)) if text.startswith(_GZIP) else text
    except ValueError as error:
        raise _Broken(f"{where} is no record") from error


def _unpacked(text: str, where: str) -> list[dict[str, Any]]:
    """The records of a text: one, or those that were written together."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Broken(f"{where} is no record") from error
    records = found.get(_TOGETHER, [found]) if isinstance(found, dict) else [found]
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise _Broken(f"{where} is no record")
    return records


def _is_record(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("facts", {}), dict)
