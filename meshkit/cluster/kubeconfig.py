"""Read kubeconfig files and merge them as kubectl does: the first file that defines a name wins.

A context, its cluster and its user may be in different files. Paths in a file are relative to that file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshkit.errors import BadInput
from meshkit.kube import yaml_input

_FILE_FIELDS = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
    "context": (),
}
Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Kubeconfig:
    """One or more merged kubeconfig files. ``current_context`` is empty if no file sets it."""

    files: tuple[Path, ...]
    current_context: str
    contexts: Entries
    clusters: Entries
    users: Entries

    @property
    def path(self) -> str:
        """The files in the format of ``$KUBECONFIG``, for a child process."""
        return os.pathsep.join(map(str, self.files))

    def only(self, context: str) -> dict[str, Any]:
        """A kubeconfig with only this context. Raises ``ValueError`` if its cluster or user is missing."""
        chosen = self.contexts[context]
        cluster, user = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
        if cluster not in self.clusters:
            raise ValueError(f"there is no cluster {cluster!r}")
        if not self.clusters[cluster].get("server"):
            raise ValueError(f"cluster {cluster!r} has no server")
        if user and user not in self.users:
            raise ValueError(f"there is no user {user!r}")
        users = [{"name": user, "user": self.users[user]}] if user else []
        return {
            "current-context": context,
            "contexts": [{"name": context, "context": chosen}],
            "clusters": [{"name": cluster, "cluster": self.clusters[cluster]}],
            "users": users,
        }


def read_kubeconfig(files: Sequence[Path]) -> Kubeconfig:
    """Read and merge files. Raises ``BadInput``, which names the file, for an invalid kubeconfig."""
    current = ""
    found: dict[str, dict[str, Mapping[str, Any]]] = {"context": {}, "cluster": {}, "user": {}}
    for path in files:
        content = _content(path)
        current = current or str(content.get("current-context") or "")
        for kind, entries in found.items():
            for name, entry in _entries(content, kind, path):
                entries.setdefault(name, entry)
    return Kubeconfig(tuple(files), current, found["context"], found["cluster"], found["user"])


def _content(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml_input.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _no_kubeconfig(path) from error
    if not isinstance(content, Mapping):
        raise _no_kubeconfig(path)
    return content


def _entries(content: Mapping[str, Any], kind: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The named contexts, clusters or users of a file, with its relative paths made absolute."""
    try:
        named = [(str(each["name"]), dict(each.get(kind) or {})) for each in content.get(f"{kind}s") or ()]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _no_kubeconfig(path) from error
    for _, entry in named:
        for field in _FILE_FIELDS[kind]:
            if entry.get(field):
                entry[field] = str(path.parent / str(entry[field]))
        login = entry.get("exec")
        if kind == "user" and isinstance(login, Mapping) and os.sep in str(login.get("command")):
            entry["exec"] = {**login, "command": str(path.parent / str(login["command"]))}
    return list(named)


def _no_kubeconfig(path: Path) -> BadInput:
    return BadInput("kubeconfig", f"{path} is not a kubeconfig.", remedy="Give one that kubectl can read.")
