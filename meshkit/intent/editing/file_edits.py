"""Write a changed Route to the file that it was read from, and leave all else as it stands there.

Only what changed is replaced: numbers of a split in place, and one line for one more match. The text is read
again afterwards: what does not give the wanted Route is not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from meshkit.errors import BadInput
from meshkit.intent.base import Intent
from meshkit.intent.document import load_intents
from meshkit.intent.traffic import Route
from meshkit.kube.yaml_input import documents

Change = tuple[int, int, str]
"""Start and end of a part of the text, and what replaces it."""
_LISTS = ("rules", "matches")


def edited(text: str, origin: str, route: Route, wanted: Route) -> str:
    """The text of a file with ``wanted`` in place of ``route``, which was read from it.

    Raises ``BadInput``, which names the file ``origin``, if the text cannot be changed so.
    """
    intents = load_intents(f"{text}\n")
    at = intents.index(route)
    node = [document.node for document in documents(text)][at]
    expected: list[Intent] = [*intents[:at], wanted, *intents[at + 1 :]]
    changes = list(_changes(text, node, route, wanted)) if isinstance(node, yaml.MappingNode) else []
    for start, end, new in sorted(changes, reverse=True):
        text = f"{text[:start]}{new}{text[end:]}"
    try:
        written = load_intents(f"{text}\n")
    except BadInput:
        written = []
    if written != expected:
        line = node.start_mark.line + 1
        changed = (name for name in ("split", *_LISTS) if getattr(route, name) != getattr(wanted, name))
        problem = f"{', '.join(changed)} of the Route at line {line} cannot be changed in place."
        remedy = f"Write it by hand, and run 'meshkit apply -f {origin}'."
        raise BadInput(origin, problem, remedy=remedy)
    return text


def _changes(text: str, node: yaml.MappingNode, route: Route, wanted: Route) -> Iterator[Change]:
    fields = {key.value: (key, value) for key, value in node.value}
    if route.split != wanted.split and "split" in fields:
        yield from _of_split(text, *fields["split"], wanted)
    for name in _LISTS:
        before, after = getattr(route, name), getattr(wanted, name)
        if before == after:
            continue
        first = bool(before) and after[0] != before[0]
        item = _flow(after[0 if first or not before else -1])
        if name in fields:
            yield from _of_list(text, fields[name][1], item, first=first)
        elif "split" in fields:
            yield _of_mapping(text, node, fields["split"][1], name, item)


def _of_split(text: str, key: yaml.Node, node: yaml.Node, wanted: Route) -> Iterator[Change]:
    """The numbers of the split where it names the same versions, else the whole split."""
    held = {name.value: value for name, value in node.value} if isinstance(node, yaml.MappingNode) else {}
    if set(held) == set(wanted.split):
        for name, value in held.items():
            yield value.start_mark.index, value.end_mark.index, f"{wanted.split[name]:g}"
        return
    shares = ", ".join(f"{name}: {percent:g}" for name, percent in wanted.split.items())
    yield key.end_mark.index, _end(node), f": {{{shares}}}"


def _of_list(text: str, node: yaml.Node, item: str, *, first: bool) -> Iterator[Change]:
    if not isinstance(node, yaml.SequenceNode):
        return
    start, end = node.start_mark.index, _end(node)
    if node.flow_style:
        comma = ", " if node.value else ""
        yield (start + 1, start + 1, f"{item}{comma}") if first else (end - 1, end - 1, f"{comma}{item}")
        return
    indent = " " * node.start_mark.column
    if first:
        yield start, start, f"- {item}\n{indent}"
    else:
        end = _end_of_line(text, end)
        yield end, end, f"\n{indent}- {item}"


def _of_mapping(text: str, node: yaml.MappingNode, after: yaml.Node, name: str, item: str) -> Change:
    """A list of one item as a new field, which follows another one."""
    end = _end(after)
    if node.flow_style:
        return end, end, f", {name}: [{item}]"
    indent = " " * node.start_mark.column
    end = _end_of_line(text, end)
    return end, end, f"\n{indent}{name}:\n{indent}- {item}"


def _end(node: yaml.Node) -> int:
    """Where the text of a node ends, without the lines that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _end_of_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _flow(part: Any) -> str:
    """A part of an intent on one line of YAML."""
    held = part.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(held, default_flow_style=True, sort_keys=False, width=float("inf")).strip()


def routes_in(intents: Sequence[Intent], namespace: str, service: str, port: int | None) -> list[Route]:
    """The Routes of a Service among intents, of one port or of any."""
    return [
        each
        for each in intents
        if isinstance(each, Route)
        and (each.namespace, each.service) == (namespace, service)
        and port in (None, each.port)
    ]
