"""Read Kubernetes objects from YAML and JSON files, as ``kubectl apply -f`` takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from meshkit.errors import BadInput
from meshkit.facts import Object
from meshkit.kube.yaml_input import documents, node_at, problem_in, text_of

_ENDINGS = (".yaml", ".yml", ".json")
_NOT_OBJECTS = "kustomize.config.k8s.io"
"""The group of kustomize's own files, which describe objects and are none."""

_INTENTS = "Documents without apiVersion, such as intents, are for 'meshkit plan -f'."
_NATIVE = ("v1", "apps/v1", "batch/v1")
_MAPPING, _LIST, _INTEGER = (dict, "mapping of fields"), (list, "list"), (int, "integer")
_SHAPES: dict[str, tuple[type, str]] = {
    "status": _MAPPING,
    "spec.selector": _MAPPING,
    "spec.replicas": _INTEGER,
    "spec.ports": _LIST,
    "spec.containers": _LIST,
    "spec.template": _MAPPING,
    "spec.template.metadata": _MAPPING,
    "spec.template.metadata.labels": _MAPPING,
    "spec.template.metadata.annotations": _MAPPING,
    "spec.template.spec": _MAPPING,
    "spec.template.spec.containers": _LIST,
}
"""The fields of Kubernetes' own kinds that are read without a definition, in the order in which they nest."""


def read_objects(paths: Iterable[str | Path]) -> tuple[Object, ...]:
    """The objects of files and of all YAML and JSON files below folders, items of Lists each on its own.

    Raises ``BadInput``, which names file, line and field, for what is no Kubernetes object.
    """
    found = tuple(item for path in paths for file in _files(Path(path)) for item in _objects(file))
    if not found:
        raise BadInput("files", "they hold no Kubernetes object.", remedy="Name files with objects in YAML.")
    return found


def _files(path: Path) -> Iterator[Path]:
    try:
        folder, file = path.is_dir(), path.is_file()
    except (OSError, ValueError):
        folder = file = False  # no file can have this name
    if folder:
        yield from sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS and each.is_file())
    elif file:
        yield path
    else:
        raise BadInput(str(path)[:200], "there is no such file or folder.", remedy="Correct the path.")


def _objects(file: Path) -> Iterator[Object]:
    text = text_of(file)
    try:
        found = list(documents(text))
    except yaml.YAMLError as error:
        line, problem = problem_in(error)
        where = f"{file} {line}".rstrip()
        raise BadInput(where, f"this is not YAML: {problem}.", remedy="Correct the line.") from error
    for document in found:
        yield from _checked(document.value, _Place(file, document.node))


@dataclass(frozen=True)
class _Place:
    """Where an object stands: its file, its document and the steps to it from there."""

    file: Path
    node: yaml.Node
    steps: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return f"{self.file} line {node_at(self.node, self.steps).start_mark.line + 1}"

    def item(self, number: int) -> _Place:
        """The place of an item of a List."""
        return replace(self, steps=(*self.steps, "items", number))

    def field(self, name: str) -> str:
        """A field of the object with its file and line, or the object's line where the field is missing."""
        return f"{replace(self, steps=(*self.steps, *name.split('.')))}: {name}"


def _checked(document: Any, where: _Place) -> Iterator[Object]:
    remedy = "Give objects with apiVersion, kind and metadata.name."
    if not isinstance(document, dict):
        raise BadInput(str(where), "it is no mapping of fields.", remedy=remedy)
    if str(document.get("apiVersion", "")).startswith(_NOT_OBJECTS):
        return
    for name in ("apiVersion", "kind"):
        if not isinstance(document.get(name), str):
            raise BadInput(where.field(name), "it is missing or no text.", remedy=f"{remedy} {_INTENTS}")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for number, item in enumerate(document["items"]):
            yield from _checked(item, where.item(number))
        return
    if not isinstance(document.get("spec"), dict | None):
        raise BadInput(where.field("spec"), "it is no mapping of fields.", remedy=remedy)
    meta = document.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise BadInput(where.field("metadata.name"), "it is missing or no text.", remedy=remedy)
    if not isinstance(meta.get("namespace"), str | None):
        raise BadInput(where.field("metadata.namespace"), "it is no text.", remedy=remedy)
    for name in ("labels", "annotations"):
        values = meta.get(name) or {}
        if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
            raise BadInput(
                where.field(f"metadata.{name}"),
                "every value is a text.",
                remedy='Quote numbers: "true", "1".',
            )
    if document["apiVersion"] in _NATIVE:
        for field, (expected, what) in _SHAPES.items():
            value = _at(document, field.split("."))
            if value is not None and (not isinstance(value, expected) or isinstance(value, bool)):
                raise BadInput(where.field(field), f"it is no {what}.", remedy="Correct the field.")
    yield document


def _at(value: Any, steps: list[str]) -> Any:
    """The value at a field, None where a field on the way is missing."""
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value
