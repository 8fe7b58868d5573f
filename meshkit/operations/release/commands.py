"""Address and command a release through the cluster: one ConfigMap for each release name.

It names the journal of the current run and holds the last command. Anyone with the right to change it can
hold, resume, promote or roll back; the runner reads it in every iteration. It also keeps the first and the
last record of the run, so that the weights can be restored if the journal is deleted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from meshkit.cluster.journal import CONFIG_MAP, NAMESPACE
from meshkit.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

Verb = Literal["hold", "resume", "promote", "rollback"]
LABEL = "meshkit.dev/release"
"""The label of the ConfigMaps of releases, with the name of the release."""
TRAIN_LABEL = "meshkit.dev/release-train"
"""The label of the ConfigMaps of trains, with the name of the train."""
TRAIN_BEGIN = "train begin"
"""The kind of the record that starts a train."""
_RUN, _BEGIN, _END, _COMMAND = "change", "begin", "end", "command"
_APPROVAL = "approval-"
"""The keys of approvals begin so, and end with the name of the gate: two people open two gates at once."""


@dataclass(frozen=True)
class Command:
    """A user's command; ``command_id`` distinguishes two equal commands."""

    command_id: str
    verb: Verb
    who: str


@dataclass(frozen=True)
class Approval:
    """A person's approval of a gate, and why."""

    who: str
    why: str = ""


@dataclass(frozen=True)
class Letters:
    """What the ConfigMap of a release holds for its runner; each is None or empty if there is none.

    ``change_id`` is the latest run, ``command`` the last command, ``approvals`` those by the gates' names.
    """

    change_id: str | None
    command: Command | None
    approvals: Mapping[str, Approval]


class Mailbox:
    """The ConfigMap of one release name."""

    label = LABEL

    def __init__(self, cluster: Cluster, release_name: str) -> None:
        self._api = cluster.api
        self._name = f"release-{release_name}"
        self._release_name = release_name

    def change_id(self) -> str | None:
        """The journal of the latest run of this release, None when it was never started."""
        return self._data().get(_RUN)

    def begin(self) -> dict[str, Any] | None:
        """The first record of the latest run, None if it is not known."""
        return _object(self._data().get(_BEGIN))

    def end(self) -> dict[str, Any] | None:
        """The last record of the latest run, None if it has not ended."""
        found = _object(self._data().get(_END))
        return found if found and "kind" in found else None

    def open(self, begin: Mapping[str, Any]) -> None:
        """Point at a new run by its first record; drop a command that the previous run has not read."""
        run = {_RUN: str(begin["change_id"]), _BEGIN: json.dumps(begin)}
        present = self._api.get(CONFIG_MAP, self._name, NAMESPACE)
        if present is None:
            labels = {self.label: self._release_name}
            meta = {"name": self._name, "namespace": NAMESPACE, "labels": labels}
            self._api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": run})
            return
        approvals = {key: None for key in present.get("data") or {} if key.startswith(_APPROVAL)}
        self._patch({**run, _END: None, _COMMAND: None, **approvals})

    def close(self, end: Mapping[str, Any]) -> None:
        """Keep the last record of the run."""
        self._patch({_END: json.dumps(end)})

    def put(self, verb: Verb) -> None:
        """Store a command for the runner, replacing an earlier one that it has not read."""
        require_verb(verb)
        if self.change_id() is None:
            raise BadInput(
                "release",
                f"no release named {self._release_name!r} was ever started on this cluster.",
                remedy="Start it first.",
            )
        command = {"command_id": uuid.uuid4().hex[:12], "verb": verb, "who": self._api.whoami()}
        self._patch({_COMMAND: json.dumps(command)})

    def approve(self, gate: str, why: str) -> None:
        """Store a person's approval of a gate for the runner."""
        approval = {"who": self._api.whoami(), "why": why}
        self._patch({f"{_APPROVAL}{gate}": json.dumps(approval)})

    def read(self) -> Letters:
        """Read what the ConfigMap holds for the runner.

        What ``put`` and ``approve`` have not written is none.
        """
        data = self._data()
        approvals = {
            key.removeprefix(_APPROVAL): approval
            for key, value in data.items()
            if key.startswith(_APPROVAL) and (approval := _approval(_object(value) or {}))
        }
        return Letters(data.get(_RUN), _command(_object(data.get(_COMMAND)) or {}), approvals)

    def _data(self) -> dict[str, str]:
        config_map = self._api.get(CONFIG_MAP, self._name, NAMESPACE)
        return dict(config_map.get("data") or {}) if config_map else {}

    def _patch(self, data: dict[str, str | None]) -> None:
        self._api.merge_patch(CONFIG_MAP, self._name, NAMESPACE, {"data": data})


class TrainMailbox(Mailbox):
    """The ConfigMap of the name of a train. Names of trains are no names of releases."""

    label = TRAIN_LABEL


class MemberMailbox(Mailbox):
    """The ConfigMap of a member of a train: its commands are those to the train, its approvals its own."""

    def __init__(self, cluster: Cluster, release_name: str, train: TrainMailbox) -> None:
        super().__init__(cluster, release_name)
        self._train = train

    def read(self) -> Letters:
        """Read what the runner of the member is told."""
        return replace(super().read(), command=self._train.read().command)


def _object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in a text, None for anything else: others can write to the ConfigMap."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _command(found: Mapping[str, Any]) -> Command | None:
    command_id, verb, who = (found.get(name) for name in ("command_id", "verb", "who"))
    if isinstance(command_id, str) and isinstance(who, str) and verb in get_args(Verb):
        return Command(command_id, cast(Verb, verb), who)
    return None


def _approval(found: Mapping[str, Any]) -> Approval | None:
    who, why = found.get("who"), found.get("why", "")
    return Approval(who, why) if isinstance(who, str) and isinstance(why, str) else None


def require_verb(verb: str) -> None:
    """Raise ``UnknownName`` for a command that does not exist."""
    if verb not in get_args(Verb):
        raise UnknownName("command", verb, get_args(Verb))


def names(cluster: Cluster) -> list[str]:
    """The names of all releases that were ever started on a cluster."""
    boxes = cluster.api.list(CONFIG_MAP, NAMESPACE, LABEL)
    return sorted(str(box["metadata"]["labels"][LABEL]) for box in boxes)


def train_of(name: str, cluster: Cluster) -> list[str]:
    """The names of the releases of a train; none if no train of this name was ever started."""
    return members_in(TrainMailbox(cluster, name).begin())


def members_in(begin: Mapping[str, Any] | None) -> list[str]:
    """The names of the releases in the first record of a train; none in that of a release."""
    if begin is None or begin.get("kind") != TRAIN_BEGIN:
        return []
    members = begin.get("members")
    return sorted(members) if isinstance(members, dict) else []


def train_names(cluster: Cluster) -> list[str]:
    """The names of all trains that were ever started on a cluster."""
    boxes = cluster.api.list(CONFIG_MAP, NAMESPACE, TRAIN_LABEL)
    return sorted(str(box["metadata"]["labels"][TRAIN_LABEL]) for box in boxes)
