"""Keep secret values out of what people and other programs wrote, before it enters the records of a release.

The values are those of the Secrets that the release names and of the token for Prometheus. They are removed
in every form by ``kube.redaction`` when a record is written, not when the evidence is exported: so the
journal, the evidence, the notices and the hashes agree, whatever becomes of the Secrets later. Numbers, from
which verdicts are recomputed, are left as they are.
"""

from __future__ import annotations

import base64
import binascii
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from meshkit import settings
from meshkit.errors import ClusterError
from meshkit.kube.redaction import SHORTEST, Redaction, redaction
from meshkit.operations.release.notices.webhook import SECRET

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release

_FREE = ("text", "why", "who", "sentences", "change")
"""The fields of records with texts that are not meshkit's own, or that may repeat some."""


class SecretTexts:
    """Removes the secret values of one release; those that a Secret had earlier are removed, too."""

    def __init__(self, release: Release, cluster: Cluster) -> None:
        references = [release.notify, *(gate.webhook for gate in release.gates)]
        self._names = sorted({each.name for each in references if each is not None})
        self._namespace, self._cluster = release.namespace, cluster
        self._values: set[str] = set()
        self._redaction = Redaction()

    def text(self, text: str) -> str:
        """The text without the values that the Secrets have now or had before."""
        return self._present().text(text)

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record, with its free texts without the values."""
        free = [name for name in _FREE if record.get(name)]
        if not free:
            return dict(record)
        present = self._present()
        return {**record, **{name: _without(present, record[name]) for name in free}}

    def _present(self) -> Redaction:
        found = {value for value in self._read() if len(value) >= SHORTEST}
        if not found <= self._values:
            self._values |= found
            self._redaction = redaction(self._values)
        return self._redaction

    def _read(self) -> Iterator[str]:
        if path := settings.prometheus_token_file():
            with suppress(OSError, ValueError):
                yield path.read_text().strip()
        for name in self._names:
            with suppress(ClusterError):  # Those that are known already are removed all the same.
                secret = self._cluster.api.get(SECRET, name, self._namespace) or {}
                for encoded in (secret.get("data") or {}).values():
                    with suppress(binascii.Error, ValueError):
                        yield from _parts(base64.b64decode(encoded).decode().strip())


def _parts(value: str) -> Iterator[str]:
    """A value, and of an address what makes it secret: its path, its query and its password."""
    yield value
    with suppress(ValueError):
        address = urllib.parse.urlsplit(value)
        if address.scheme and address.hostname:
            yield from (address.path, address.query)
            yield urllib.parse.unquote(address.password or "")


def _without(present: Redaction, found: Any) -> Any:
    if isinstance(found, list | tuple):
        return [_without(present, each) for each in found]
    return present.tree(found)
