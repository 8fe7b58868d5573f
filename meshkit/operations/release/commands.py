"""Address and command a release through the cluster: one ConfigMap for each release name.

It names the journal of the current run and holds the last command. Anyone with the right to change it can
hold, resume, promote or roll back; the runner reads it in every iteration.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from meshkit.cluster.journal import CONFIG_MAP, NAMESPACE
from meshkit.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

Verb = Literal["hold", "resume", "promote", "rollback"]


@dataclass(frozen=True)
class Command:
    """A user's command; ``command_id`` distinguishes two equal commands."""

    command_id: str
    verb: Verb
    who: str


class Mailbox:
    """The ConfigMap of one release name."""

    def __init__(self, cluster: Cluster, release_name: str) -> None:
        self._api = cluster.api
        self._name = f"release-{release_name}"
        self._release_name = release_name

    def change_id(self) -> str | None:
        """The journal of the latest run of this release, None when it was never started."""
        return self._data().get("change")

    def open(self, change_id: str) -> None:
        """Point at a new run, and drop a command that the previous run has not read."""
        if self._api.get(CONFIG_MAP, self._name, NAMESPACE) is None:
            meta = {"name": self._name, "namespace": NAMESPACE}
            self._api.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"change": change_id}}
            )
            return
        self._patch({"change": change_id, "command": None})

    def put(self, verb: Verb) -> None:
        """Store a command for the runner, replacing an earlier one that it has not read."""
        if verb not in get_args(Verb):
            raise UnknownName("command", verb, get_args(Verb))
        if self.change_id() is None:
            raise BadInput(
                "release",
                f"no release named {self._release_name!r} was ever started on this cluster.",
                remedy="Start it first.",
            )
        command = {"command_id": uuid.uuid4().hex[:12], "verb": verb, "who": self._api.whoami()}
        self._patch({"command": json.dumps(command)})

    def last(self) -> Command | None:
        """Return the last command, or None."""
        text = self._data().get("command")
        return Command(**json.loads(text)) if text else None

    def _data(self) -> dict[str, str]:
        config_map = self._api.get(CONFIG_MAP, self._name, NAMESPACE)
        return dict(config_map.get("data") or {}) if config_map else {}

    def _patch(self, data: dict[str, str | None]) -> None:
        self._api.merge_patch(CONFIG_MAP, self._name, NAMESPACE, {"data": data})
