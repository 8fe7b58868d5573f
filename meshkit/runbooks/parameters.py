"""The typed parameters of a notebook, and the conversion of the user's values.

papermill checks neither the names nor the types of parameters: a misspelt name only warns, ``1.10`` becomes
the number 1.1, and a name may contain code. So this module parses the parameters cell with Python's ``ast``,
as lines of the form

    weight: int = 10  # percent of the requests that go to the canary

and converts every given value to its declared type before it passes the value to papermill.
"""

from __future__ import annotations

import ast
import io
import json
import math
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshkit.errors import BadInput, UnknownName

_SHOWN = 80
"""How much of a value an error repeats."""
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell: name, declared type, default and comment."""

    name: str
    type: str
    default: Any
    help: str

    def convert(self, given: str) -> Any:
        """Convert a user's string to the declared type. Raises BadInput for an invalid value."""
        try:
            return _CONVERTERS[self.type](given)
        except (ValueError, RecursionError) as problem:
            shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
            raise BadInput(
                self.name, f"{shown!r} is not a valid {self.type}.", remedy=f"Give {_EXAMPLES[self.type]}."
            ) from problem


def parameters_of(cells: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """The parameters of a notebook: those of the first cell with the tag ``parameters``, if there is one."""
    for cell in cells:
        if "parameters" in cell.get("metadata", {}).get("tags", ()):
            return read_parameters("".join(cell["source"]))
    return ()


def read_parameters(source: str) -> tuple[Parameter, ...]:
    """Parse a parameters cell. Raises BadInput for a line that is not a typed assignment of a literal."""
    try:
        comments, statements = _comments(source), ast.parse(source).body
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError) as error:
        remedy = "Write one parameter a line as `name: type = default  # help`."
        raise BadInput("parameters cell", f"it is not Python: {error}.", remedy=remedy) from error
    return tuple(_parameter(statement, comments) for statement in statements)


def convert_parameters(parameters: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """Convert the given strings to their declared types. Raises UnknownName for an unknown parameter."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise UnknownName("parameter", name, known)
    return {name: known[name].convert(value) for name, value in given.items()}


def read_parameter_file(path: Path) -> dict[str, str]:
    """Read parameters from a YAML file with one ``name: value`` per line.

    Values are read as strings, so ``version: 1.10`` stays 1.10; lists may be written ``[a, b]``.
    """
    import yaml

    from meshkit.kube import yaml_input

    try:
        found = yaml_input.only_document(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "Give the path of a YAML file."
        raise BadInput(str(path), f"it cannot be read: {error}.", remedy=remedy) from error
    except yaml.YAMLError as error:
        line, problem = yaml_input.problem_in(error)
        where = f"{path} {line}".rstrip()
        raise BadInput(where, f"this is not YAML: {problem}.", remedy="Correct it.") from error
    given = _written(found.node) if found else None
    if not isinstance(given, dict) or any(isinstance(value, dict) for value in given.values()):
        remedy = "Write one parameter a line: `namespace: shop`."
        raise BadInput(str(path), "it does not hold parameters.", remedy=remedy)
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in given.items()}


def _written(node: Any) -> Any:
    """The value of a YAML node with every scalar as the text that was written."""
    if isinstance(node.value, str):
        return node.value
    if node.id == "sequence":
        return [_written(each) for each in node.value]
    return {key.value: _written(value) for key, value in node.value}


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise BadInput(
            f"parameters cell, line {statement.lineno}",
            "this is not a typed parameter.",
            remedy="Write it as `name: type = default  # help`.",
        )
    name, declared = statement.target.id, ast.unparse(statement.annotation)
    if declared not in _CONVERTERS:
        raise UnknownName(f"type of parameter {name}", declared, _CONVERTERS)
    if statement.value is None:
        raise BadInput(
            f"parameter {name}", "it has no default.", remedy="Write it as `name: type = default  # help`."
        )
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        remedy = "Write a literal, such as a number or a text in quotes."
        raise BadInput(f"parameter {name}", "its default is no literal.", remedy=remedy) from error
    return Parameter(
        name=name,
        type=declared,
        default=default,
        help=comments.get(statement.end_lineno or statement.lineno, ""),
    )


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}


def _boolean(given: str) -> bool:
    if given.lower() not in _BOOLEANS:
        raise ValueError(given)
    return _BOOLEANS[given.lower()]


def _number(given: str) -> float:
    found = float(given)
    if not math.isfinite(found):
        raise ValueError(given)
    return found


def _list_of(convert: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """A converter for ``1,5,25`` and for the JSON list ``[1, 5, 25]``."""

    def convert_list(given: str) -> list[Any]:
        if not given.lstrip().startswith("["):
            return [convert(part.strip()) for part in given.split(",") if part.strip()]
        items = json.loads(given)
        return [convert(item if isinstance(item, str) else json.dumps(item)) for item in items]

    return convert_list


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": _number,
    "bool": _boolean,
    "list[str]": _list_of(str),
    "list[int]": _list_of(int),
    "list[float]": _list_of(_number),
}
_EXAMPLES = {
    "str": "a text",
    "int": "a whole number such as 3",
    "float": "a number such as 0.5",
    "bool": "true or false",
    "list[str]": "names with commas between them, such as v1,v2",
    "list[int]": "whole numbers with commas between them, such as 1,2",
    "list[float]": "numbers with commas between them, such as 1,5,25",
}
