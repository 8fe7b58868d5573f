"""The reference of the library: every public name of meshkit, by the package it comes from."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

import meshkit as mk
from tools.docs import pages
from tools.docs.annotations import default_text, limits, signature, type_text
from tools.docs.markdown import code, directive, prose, table

_RESULTS = "results"


def public_names() -> list[str]:
    """The names of ``meshkit.__all__`` that are documented."""
    return [name for name in mk.__all__ if not name.startswith("_")]


def render() -> dict[str, str]:
    """Page (below ``reference/python``) -> its Markdown: one for each package, one for results."""
    by_package: dict[str, list[str]] = defaultdict(list)
    for name in public_names():
        by_package[getattr(mk, name).__module__.split(".")[1]].append(name)
    made = {package: _page(package, names) for package, names in sorted(by_package.items())}
    made[_RESULTS] = _results_page()
    listed = table(
        ("name", "what it is"),
        (((f"{{py:obj}}`mk.{name}`"), prose(_first(getattr(mk, name)))) for name in public_names()),
    )
    tree = "\n".join(made)
    made["index"] = (
        f"# Python\n\nThe public names, used as `import meshkit as mk`.\n\n{listed}\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
    return made


def _page(package: str, names: list[str]) -> str:
    charter = inspect.getdoc(importlib.import_module(f"meshkit.{package}")) or ""
    shown = [_entry(f"mk.{name}", getattr(mk, name)) for name in names]
    inner = [model for name in names for model in _models_in(getattr(mk, name)) if not _is_public(model)]
    shown += [_entry(model.__name__, model) for model in dict.fromkeys(inner)]
    return "\n".join([f"# {package.capitalize()}\n\n{prose(charter.splitlines()[0])}\n", *shown])


def _results_page() -> str:
    shown = [_entry(found.__name__, found) for found in results()]
    head = "# Results\n\nWhat the functions and methods give back, and no one makes by hand.\n"
    return "\n".join([head, *shown])


def _entry(name: str, thing: Any) -> str:
    """A function or class: signature, docstring, fields, methods, and the guides that mention it."""
    guides = pages.links(pages.mentioning(name), up=2) if name.startswith("mk.") else ""
    doc = prose(inspect.getdoc(thing) or "")
    if not inspect.isclass(thing):
        return directive("py:function", f"{name}{signature(thing)}", f"{doc}\n\n{guides}")
    body = [doc, _fields(thing), guides]
    text = "\n\n".join(part for part in body if part)
    head = directive("py:class", f"{name}{_constructor(thing)}", text, options=_layout(thing))
    return "\n".join([head, *_members(name, thing)])


def _layout(cls: type) -> tuple[str, ...]:
    """The parameters of a model stand in its table, too: one line is enough above it."""
    return (":single-line-parameter-list:",) if issubclass(cls, BaseModel) else ()


def _constructor(cls: type) -> str:
    """How an object is made; nothing for those that meshkit makes."""
    if cls in results():
        return ""
    if issubclass(cls, BaseModel):
        parts = [
            key
            if field.is_required()
            else f"{key}={default_text(field.get_default(call_default_factory=True))}"
            for key, field in cls.model_fields.items()
        ]
        return f"({', '.join(['*', *parts])})" if parts else "()"
    if "__init__" not in vars(cls):
        return ""
    return signature(cls, typed=False)


def _fields(cls: type) -> str:
    if issubclass(cls, BaseModel):
        head = ("field", "type", "default", "what it is")
        return table(head, (_model_row(key, field) for key, field in cls.model_fields.items()))
    if not dataclasses.is_dataclass(cls):
        return ""
    told = dict(_attribute_docs(cls))
    rows = [
        (
            code(field.name),
            code(type_text(field.type)),
            _dataclass_default(field),
            prose(told.get(field.name, "")),
        )
        for field in dataclasses.fields(cls)
        if not field.name.startswith("_")
    ]
    return table(("field", "type", "default", ""), rows)


def _model_row(key: str, field: Any) -> tuple[str, ...]:
    default = "required"
    if not field.is_required():
        default = code(default_text(field.get_default(call_default_factory=True)))
    said = limits(field)
    limited = f"{code(type_text(field.annotation))}{': ' if said else ''}{', '.join(said)}"
    return code(key), limited, default, prose(field.description or "")


def _dataclass_default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return code(default_text(field.default))
    return "made" if field.default_factory is not dataclasses.MISSING else "required"


def _attribute_docs(cls: type) -> Iterator[tuple[str, str]]:
    """The strings below the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    for one, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(one, ast.AnnAssign)
            and isinstance(one.target, ast.Name)
            and isinstance(after, ast.Expr)
        ):
            yield one.target.id, str(ast.literal_eval(after.value))


def _members(owner: str, cls: type) -> Iterator[str]:
    for key, member in vars(cls).items():
        if key.startswith("_") or not inspect.getdoc(member):
            continue
        doc = prose(inspect.getdoc(member) or "")
        if isinstance(member, property):
            yield directive("py:property", f"{owner}.{key}", doc)
        elif inspect.isfunction(member):
            yield directive("py:method", f"{owner}.{key}{signature(member, drop_self=True)}", doc)
        elif isinstance(member, classmethod):
            text = signature(member.__func__, drop_self=True)
            yield directive("py:method", f"{owner}.{key}{text}", doc, options=(":classmethod:",))


def _models_in(thing: Any) -> list[type[BaseModel]]:
    """The models that the fields of a model are made of."""
    if not (inspect.isclass(thing) and issubclass(thing, BaseModel)):
        return []
    words = {word for field in thing.model_fields.values() for word in _words(type_text(field.annotation))}
    found = [_resolve(word, thing.__module__) for word in sorted(words)]
    return [each for each in found if inspect.isclass(each) and issubclass(each, BaseModel)]


@cache
def results() -> list[type]:
    """The classes that public functions and methods return and that are not public names themselves."""
    found: dict[str, type] = {}
    for name in public_names():
        thing = getattr(mk, name)
        calls = (
            [thing]
            if not inspect.isclass(thing)
            else [m for m in vars(thing).values() if inspect.isfunction(m)]
        )
        for call in calls:
            if call.__name__.startswith("_"):
                continue
            for word in _words(type_text(inspect.signature(call).return_annotation)):
                given = _resolve(word, call.__module__)
                if (
                    inspect.isclass(given)
                    and given.__module__.startswith("meshkit.")
                    and not _is_public(given)
                ):
                    found[word] = given
    return [found[word] for word in sorted(found)]


def _words(annotation: str) -> list[str]:
    return re.findall(r"\b[A-Z]\w+", annotation)


def _is_public(cls: type) -> bool:
    return cls.__name__ in mk.__all__


def _resolve(word: str, module: str) -> Any:
    """What a word of an annotation means in a module, imports for type checkers included."""
    home = importlib.import_module(module)
    if hasattr(home, word):
        return getattr(home, word)
    for node in ast.walk(ast.parse(inspect.getsource(home))):
        if isinstance(node, ast.ImportFrom) and node.module and word in {alias.name for alias in node.names}:
            return getattr(importlib.import_module(node.module), word, None)
    return None


def _first(thing: Any) -> str:
    """The first sentence of a docstring."""
    paragraph = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s", paragraph, maxsplit=1)[0]
