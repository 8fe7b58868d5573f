"""Which fields of a traffic intent a mesh cannot carry out, and what it can do instead.

A mesh lists what it lacks by the field's place in the intent: ``rules[].mirror``, where ``[]`` is any element
of a list and ``*`` any key of a mapping. ``place: value`` names one value of a field. The same lists refuse
an intent and make the tables in the documentation. Parts that several intents have are refused alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args, get_origin

from meshkit.errors import UnsupportedByMesh
from meshkit.intent.base import Intent, Part, kind, part_in
from meshkit.intent.traffic import Route

Limits = Mapping[str, str]
"""The place of a field -> what the mesh can do instead, as a sentence."""


def refuse(intent: Intent, mesh: str, limits: Limits) -> None:
    """Raise ``UnsupportedByMesh`` for the first field of an intent that is in ``limits``."""
    for place, where in _lacking(intent, limits):
        field = f"{kind(type(intent))}.{where}"
        raise UnsupportedByMesh(field, f"{mesh} cannot do this.", remedy=limits[place])


def lacks(intent: Intent, limits: Limits) -> bool:
    """Whether an intent has a field that is in ``limits``."""
    return any(True for _ in _lacking(intent, limits))


def _lacking(intent: Part, limits: Limits) -> Iterator[tuple[str, str]]:
    return ((place, where) for place, where in _given(intent) if place in limits)


def places(model: type[Part] = Route, before: str = "") -> Iterator[tuple[str, str]]:
    """The place of each field of an intent with its description, and of each value of a choice."""
    for name, field in model.model_fields.items():
        part = part_in(field.annotation)
        place = f"{before}{name}"
        yield place, field.description or ""
        for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
            yield f"{place}: {choice}", field.description or ""
        if bool in (field.annotation, *get_args(field.annotation)):
            yield f"{place}: {False}", field.description or ""
        if part:
            yield from places(part, f"{place}{_step(field.annotation)}.")


def _step(annotation: object) -> str:
    if get_origin(annotation) is tuple:
        return "[]"
    return ".*" if get_origin(annotation) is Mapping or get_origin(annotation) is dict else ""


def _given(part: Part, place: str = "", where: str = "") -> Iterator[tuple[str, str]]:
    """The fields that were set, the containing ones first: each as a place and as the path in this intent."""
    for name in type(part).model_fields:
        if name in part.model_fields_set:
            yield from _of(getattr(part, name), f"{place}{name}", f"{where}{name}")


def _of(value: object, place: str, where: str) -> Iterator[tuple[str, str]]:
    if value is None or value == () or value == {}:
        return
    yield place, where
    if isinstance(value, Part):
        yield from _given(value, f"{place}.", f"{where}.")
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            if isinstance(each, Part):
                yield from _given(each, f"{place}[].", f"{where}[{index}].")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, Part):
                yield from _given(each, f"{place}.*.", f"{where}.{key}.")
    else:
        yield f"{place}: {value}", where
