"""Secrets of a runbook, given by reference and kept out of everything that it leaves behind.

papermill stores every parameter twice, as plain text, so a secret's value must never be one. A parameter is
given as the place of the secret instead:

    secret:env:NAME                        an environment variable
    secret:file:PATH                       a file
    secret:cluster:NAMESPACE/NAME/KEY      a key of a Secret in the runbook's own cluster

The runbook gets the path of a private file with the value in it, for as long as the run lasts: what a
kubeconfig and a token are passed as anyway. Whatever a cell prints is searched for the values each time the
notebook is saved, before it reaches the disk.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshkit import settings
from meshkit.errors import BadInput
from meshkit.facts import Kind

PREFIX = "secret:"
REDACTED = "[redacted]"
_SHORTEST = 6
"""A shorter value cannot be told from ordinary text, so it could not be taken out of an output."""
_KEY_CHARS = 20
_KEYLIKE = re.compile(rf"[A-Za-z0-9+/=_.\-]{{{_KEY_CHARS},}}")
"""A word inside a longer secret that is a key, a certificate or a token of its own."""


@dataclass(frozen=True)
class Redaction:
    """The values that no output may hold."""

    values: tuple[str, ...] = ()

    def text(self, text: str) -> str:
        """A text without the values."""
        for value in self.values:
            text = text.replace(value, REDACTED)
        return text

    def notebook(self, notebook: Any) -> None:
        """Take the values out of the outputs of a notebook, in place."""
        for cell in notebook.cells if self.values else ():
            if cell.cell_type == "code":
                cell.outputs = [self._tree(output) for output in cell.outputs]

    def _tree(self, found: Any) -> Any:
        if isinstance(found, str):
            return self.text(found)
        if isinstance(found, dict):
            return type(found)({key: self._tree(value) for key, value in found.items()})
        return [self._tree(each) for each in found] if isinstance(found, list) else found


@contextmanager
def resolved(parameters: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Redaction]]:
    """The parameters with each reference replaced by the path of a private file, and what to take out.

    Raises BadInput, before anything runs, for a reference that leads nowhere; it never repeats a value.
    """
    given = dict(parameters)
    named = {name: value for name, value in given.items() if is_reference(value)}
    if not named:
        yield given, Redaction()
        return
    values = []
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        # The cluster's own come last: the kubeconfig that leads there may be a secret itself.
        for name in sorted(named, key=lambda name: named[name].startswith(f"{PREFIX}cluster:")):
            value = _read(name, named[name], given)
            path = Path(folder) / name
            path.touch(mode=0o600)
            path.write_text(value, encoding="utf-8")
            given[name] = str(path)
            values.append(value)
        yield given, Redaction(tuple(_forms(values)))


def is_reference(value: object) -> bool:
    """Whether the value of a parameter names a secret."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _read(name: str, reference: str, given: Mapping[str, Any]) -> str:
    source, _, place = reference.removeprefix(PREFIX).partition(":")
    readers = {"env": _from_environment, "file": _from_file, "cluster": _from_cluster}
    if source not in readers or not place:
        remedy = "Write secret:env:NAME, secret:file:PATH or secret:cluster:NAMESPACE/NAME/KEY."
        raise BadInput(name, "this is no reference to a secret.", remedy=remedy)
    value = readers[source](name, place, given)
    if len(value.strip()) < _SHORTEST:
        problem = f"the secret has fewer than {_SHORTEST} characters."
        raise BadInput(name, problem, remedy="So short a text cannot be kept out of the outputs.")
    return value


def _from_environment(name: str, place: str, _: Mapping[str, Any]) -> str:
    found = settings.variable(place)
    if found is None:
        raise BadInput(name, f"there is no environment variable {place}.", remedy="Set it for this run.")
    return found


def _from_file(name: str, place: str, _: Mapping[str, Any]) -> str:
    try:
        return Path(place).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        remedy = "Name a text file that this user can read."
        raise BadInput(name, f"{place} cannot be read.", remedy=remedy) from problem


def _from_cluster(name: str, place: str, given: Mapping[str, Any]) -> str:
    from meshkit.cluster.connect import connect

    namespace, _, rest = place.partition("/")
    secret, _, key = rest.partition("/")
    cluster = connect(context=given.get("context") or None, kubeconfig=given.get("kubeconfig") or None)
    found = cluster.api.get(Kind("v1", "Secret"), secret, namespace) if secret else None
    data = (found or {}).get("data") or {}
    if key not in data:
        where = f"the cluster {cluster.context} has no key {key!r} in a Secret {namespace}/{secret}."
        raise BadInput(name, where, remedy="Write secret:cluster:NAMESPACE/NAME/KEY.")
    try:
        return base64.b64decode(data[key]).decode()
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise BadInput(name, "the secret is no text.", remedy="Name a key that holds text.") from problem


def _forms(values: list[str]) -> list[str]:
    """Every way in which the values may stand in an output, the longest first."""
    pieces: set[str] = set()
    for value in values:
        pieces |= {value, value.strip()}
        pieces |= {word for word in value.replace('"', " ").split() if _KEYLIKE.fullmatch(word)}
    encoded = {base64.b64encode(piece.encode()).decode() for piece in pieces}
    quoted = {form for piece in pieces for form in (html.escape(piece), repr(piece)[1:-1])}
    return sorted(pieces | encoded | quoted, key=len, reverse=True)
