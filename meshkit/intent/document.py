"""Read and write intents as YAML: one document for each, with ``kind`` and the fields of the intent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from meshkit.errors import BadInput, UnknownName
from meshkit.intent.base import Intent, bad_input, place, telling
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.observability import Observability
from meshkit.intent.release import Release
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.intent.train import ReleaseTrain
from meshkit.kube import yaml_input, yaml_output
from meshkit.kube.yaml_input import Document, documents, node_at, problem_in, text_of

KINDS: dict[str, type[Intent]] = {
    model.__name__: model
    for model in (
        ControlPlane,
        Injection,
        MutualTLS,
        Access,
        Route,
        DestinationPolicy,
        Egress,
        Exposure,
        Release,
        ReleaseTrain,
        Observability,
    )
}


def load_intents(source: str | Path) -> list[Intent]:
    """Read intents from a YAML file, or from text (anything with a line break).

    Raises ``BadInput``, which names file, line and field, for malformed or unknown input.
    """
    text, origin = _read(source)
    intents = list(_intents(text, origin))
    if not intents:
        raise BadInput(
            origin, "it holds no document.", remedy=f"Write documents with kind: {', '.join(KINDS)}."
        )
    return intents


def dump_intents(intents: Intent | Iterable[Intent]) -> str:
    """Write intents as YAML, which ``load_intents`` reads back as equal ones.

    Fields that have their default are left out.
    """
    given = (intents,) if isinstance(intents, Intent) else tuple(intents)
    texts = []
    for intent in given:
        texts.append(yaml_output.document({"kind": type(intent).__name__, **_dumped(intent)}))
    return "---\n".join(texts)


def _dumped(intent: Intent) -> dict[str, Any]:
    """The fields of an intent, without those that have their default and are not needed to read it back.

    A default may depend on another field, as that of a release's steps on its cohort.
    """
    short = intent.model_dump(mode="json", exclude_defaults=True)
    with suppress(BadInput):
        if type(intent)(**short) == intent:
            return short
    return intent.model_dump(mode="json", exclude_unset=True)


def load_values(source: str | Path) -> dict[str, Any]:
    """Read values for a chart from a YAML file. Raises ``BadInput``, which names the file."""
    text = text_of(source)
    try:
        found = yaml_input.load(text)
    except yaml.YAMLError as error:
        problem = ": ".join(filter(None, ("it cannot be read", *problem_in(error))))
        raise BadInput(str(source), f"{problem}.", remedy="Correct it.") from error
    if found is not None and not isinstance(found, dict):
        raise BadInput(str(source), "it holds no mapping.", remedy="Write the values as for 'helm --values'.")
    return found or {}


def _intents(text: str, origin: str) -> Iterator[Intent]:
    try:
        for document in documents(text):
            yield _intent(document, origin)
    except yaml.YAMLError as error:
        line, problem = problem_in(error)
        where = f"{origin} {line}".rstrip()
        raise BadInput(where, f"this is not YAML: {problem}.", remedy="Correct the line.") from error


def _read(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return source, "text"
    return text_of(source), str(source)


def _intent(document: Document, origin: str) -> Intent:
    node = document.node
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(
            _where(origin, node), "a document is a mapping of fields.", remedy="Start it with 'kind: Route'."
        )
    _refuse_duplicates(node, origin)
    fields: dict[str, Any] = document.value
    kind = fields.pop("kind", None)
    if kind is None:
        raise BadInput(_where(origin, node), "kind is missing.", remedy=f"Name one of: {', '.join(KINDS)}.")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _unknown_kind(f"{_where(origin, node_at(node, ['kind']))}: kind", str(kind), fields)
    try:
        return KINDS[kind].model_validate(fields)
    except ValidationError as error:
        location = place(telling(error))
        raise _located(bad_input(KINDS[kind], error), _where(origin, node_at(node, location))) from error


def _unknown_kind(where: str, kind: str, fields: Mapping[str, Any]) -> BadInput:
    """The error of a kind that no intent has; objects of Kubernetes have an apiVersion and are applied by
    kubectl.
    """
    if "apiVersion" not in fields:
        return UnknownName(where, kind, KINDS)
    problem = f"{kind!r} is a kind of Kubernetes objects; this file must hold intents of meshkit."
    remedy = f"'meshkit check -f' checks objects, kubectl applies them. Kinds of intents: {', '.join(KINDS)}."
    return BadInput(where, problem, remedy=remedy)


def _located(error: BadInput, where: str) -> BadInput:
    """Add file and line to the field of an error."""
    if isinstance(error, UnknownName):
        return UnknownName(f"{where}: {error.field}", error.name, error.known)
    return BadInput(f"{where}: {error.field}", error.problem, remedy=error.remedy)


def _refuse_duplicates(node: yaml.Node, origin: str) -> None:
    """Reject duplicate keys, because YAML silently takes the last one."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, origin)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise BadInput(
                    _where(origin, key), f"{key.value!r} is written twice.", remedy="Remove one of them."
                )
            seen.add(key.value)
            _refuse_duplicates(value, origin)


def _where(origin: str, node: yaml.Node) -> str:
    return f"{origin} line {node.start_mark.line + 1}"


def written(intents: Iterable[Intent]) -> str:
    """Intents as YAML documents that ``load_intents`` reads, without fields that have their default."""
    documents = [
        {"kind": type(intent).__name__, **intent.model_dump(mode="json", exclude_defaults=True)}
        for intent in intents
    ]
    return str(yaml.safe_dump_all(documents, sort_keys=False, width=110))
