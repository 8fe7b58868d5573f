"""Secrets of a runbook: they are passed by reference and redacted from all outputs.

papermill stores every parameter twice in plain text, so a secret must not be passed as a parameter. Instead,
the parameter refers to the secret:

    secret:env:NAME                        an environment variable
    secret:file:PATH                       a file
    secret:cluster:NAMESPACE/NAME/KEY      a key of a Secret in the runbook's own cluster

The runbook gets the path of a private file that holds the value during the run, as kubeconfigs and tokens
are usually passed. The outputs of cells are redacted each time before the notebook is saved to disk.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meshkit import settings
from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.kube.redaction import SHORTEST, Redaction, redaction

PREFIX = "secret:"


@contextmanager
def resolved(parameters: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Redaction]]:
    """Replace each secret reference by the path of a private file, and return the redaction of the values.

    Raises BadInput for a reference that cannot be resolved; the message never contains a value.
    """
    given = dict(parameters)
    named = {name: value for name, value in given.items() if is_reference(value)}
    if not named:
        yield given, Redaction()
        return
    values = []
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        # References to the cluster are resolved last, because the kubeconfig may itself be a secret.
        for name in sorted(named, key=lambda name: named[name].startswith(f"{PREFIX}cluster:")):
            value = _read(name, named[name], given)
            path = Path(folder) / name
            path.touch(mode=0o600)
            path.write_text(value, encoding="utf-8", errors="surrogateescape")
            given[name] = str(path)
            values.append(value)
        yield given, redaction(values)


def is_reference(value: object) -> bool:
    """Whether the value of a parameter is a reference to a secret."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _read(name: str, reference: str, given: Mapping[str, Any]) -> str:
    source, _, place = reference.removeprefix(PREFIX).partition(":")
    readers = {"env": _from_environment, "file": _from_file, "cluster": _from_cluster}
    if source not in readers or not place:
        remedy = "Write secret:env:NAME, secret:file:PATH or secret:cluster:NAMESPACE/NAME/KEY."
        raise BadInput(name, "this is not a reference to a secret.", remedy=remedy)
    value = readers[source](name, place, given)
    if len(value.strip()) < SHORTEST:
        problem = f"the secret has fewer than {SHORTEST} characters."
        raise BadInput(name, problem, remedy="Use a longer one: text this short cannot be redacted.")
    return value


def _from_environment(name: str, place: str, _: Mapping[str, Any]) -> str:
    found = settings.variable(place)
    if found is None:
        raise BadInput(name, f"there is no environment variable {place}.", remedy="Set it for this run.")
    return found


def _from_file(name: str, place: str, _: Mapping[str, Any]) -> str:
    try:
        return settings.expanded(name, place).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
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
        raise BadInput(name, "the secret is not text.", remedy="Name a key that holds text.") from problem
