"""The reference of runbooks, settings and errors."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from meshkit import errors, settings
from meshkit.runbooks.catalogue import Runbook, find_runbooks
from tools.docs import pages
from tools.docs.markdown import code, prose, table

_EXIT_CODES = (
    "Every error is a `MeshkitError` with a `message`, a `remedy` and the exit code of the command line."
)


def runbooks_page() -> str:
    """Every shipped runbook with its parameters."""
    head = "# Runbooks\n\nRun one with `meshkit runbook run NAME -p parameter=value`.\n"
    return "\n".join([head, *(_runbook(each) for each in find_runbooks())])


def _runbook(runbook: Runbook) -> str:
    rows = [
        (code(each.name), code(each.type), code(repr(each.default)), prose(each.help))
        for each in runbook.parameters
    ]
    listed = table(("parameter", "type", "default", ""), rows)
    guides = pages.links(pages.mentioning(runbook.name), up=1)
    return f"## {runbook.name}\n\n{prose(runbook.title)}. {prose(runbook.summary)}\n\n{listed}\n{guides}"


def variables() -> dict[str, str]:
    """Each environment variable that meshkit/settings.py reads, with what is said of it there."""
    found: dict[str, str] = {}
    for variable, said in _spoken_of(ast.parse(inspect.getsource(settings))):
        if len(said) > len(found.get(variable, "")):
            found[variable] = said
    return dict(sorted(found.items()))


def _spoken_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each ``MESHKIT_...`` in the code of a function or class, with the docstring around it."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.ClassDef):
            continue
        said = ast.get_docstring(scope) or ""
        for node in ast.walk(scope):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and value.startswith("MESHKIT_") and value.replace("_", "").isalpha():
                yield value, said if f"${value}" in said else ""


def settings_page() -> str:
    """Every setting, an environment variable each."""
    rows = [(code(name), prose(said)) for name, said in variables().items()]
    listed = table(("environment variable", ""), rows)
    return f"# Settings\n\nmeshkit has no file of settings: it reads these environment variables.\n\n{listed}"


def errors_page() -> str:
    """The tree of errors."""
    found = [
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.MeshkitError)
    ]
    rows = [
        (code(each.__name__), code(each.__bases__[0].__name__), str(each.exit_code), prose(_paragraph(each)))
        for each in sorted(found, key=lambda each: (len(each.__mro__), each.__name__))
    ]
    listed = table(("error", "is a", "exit code", "when"), rows)
    return f"# Errors\n\n{_EXIT_CODES} They are in `meshkit.errors`.\n\n{listed}"


def _paragraph(thing: type) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0]
