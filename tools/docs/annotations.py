"""Types, defaults and limits as a reader of the reference wants them: short, and as Python writes them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_LONGEST = 40


def type_text(annotation: Any) -> str:
    """An annotation in short: no modules, no ``Annotated``."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, str):
        return annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_text(each) for each in arguments))
    if origin is Literal:
        return " | ".join(repr(each) for each in arguments)
    if origin is not None:
        inner = ", ".join("..." if each is Ellipsis else type_text(each) for each in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return str(getattr(annotation, "__name__", annotation))


def limits(field: FieldInfo) -> list[str]:
    """The limits of a field's value: ``at least 1``, ``a dns label``."""
    said = [_limit(each) for each in [*field.metadata, *_nested(field.annotation)]]
    return list(dict.fromkeys(each for each in said if each))


def _nested(annotation: Any) -> list[Any]:
    found: list[Any] = []
    if get_origin(annotation) is Annotated:
        for each in get_args(annotation)[1:]:
            found += each.metadata if isinstance(each, FieldInfo) else [each]
    for each in get_args(annotation):
        found += _nested(each)
    return found


def _limit(constraint: Any) -> str:
    words = {
        "ge": "at least {}",
        "gt": "more than {}",
        "le": "at most {}",
        "lt": "less than {}",
        "min_length": "at least {} long",
        "max_length": "at most {} long",
        "pattern": "matches `{}`",
    }
    said = [
        text.format(value)
        for name, text in words.items()
        if (value := getattr(constraint, name, None)) is not None
    ]
    check = getattr(constraint, "func", None)
    if check is not None:
        said.append(check.__name__.strip("_").replace("_", " "))
    return ", ".join(said)


def default_text(value: Any) -> str:
    """A default as code; ``...`` where it is long or has no short name."""
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        own = {key: part for key, part in value if part != fields[key].get_default(call_default_factory=True)}
        return f"{type(value).__name__}({', '.join(f'{key}={part!r}' for key, part in own.items())})"
    text = repr(value)
    return "..." if "<" in text or "\n" in text or len(text) > _LONGEST else text


def signature(call: Callable[..., Any], *, drop_self: bool = False, typed: bool = True) -> str:
    """The parameters and the result of a function as its source writes them."""
    given = inspect.signature(call)
    parameters = list(given.parameters.values())[1 if drop_self else 0 :]
    parts: list[str] = []
    starred = False
    for each in parameters:
        if each.kind is each.VAR_POSITIONAL:
            starred = True
        if each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(_parameter(each, typed=typed))
    result = given.return_annotation
    shown = "" if result is inspect.Signature.empty or not typed else f" -> {type_text(result)}"
    return f"({', '.join(parts)}){shown}"


def _parameter(each: inspect.Parameter, *, typed: bool) -> str:
    star = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
    annotation = f": {type_text(each.annotation)}" if typed and each.annotation is not each.empty else ""
    if each.default is each.empty:
        return f"{star}{each.name}{annotation}"
    equals = " = " if annotation else "="
    return f"{star}{each.name}{annotation}{equals}{default_text(each.default)}"
