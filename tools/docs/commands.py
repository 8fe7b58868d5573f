"""The reference of the command line, from click's own tree of commands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click

from meshkit.cli.app import cli
from tools.docs import pages
from tools.docs.markdown import code, prose, table


@dataclass(frozen=True)
class Command:
    """A command or a group of them, with its whole name: ``meshkit sandbox up``."""

    name: str
    click: click.Command

    @property
    def summary(self) -> str:
        """The first sentence of its help."""
        return self.click.get_short_help_str(400)


def commands() -> list[Command]:
    """Every command and group below ``meshkit``, groups before their commands."""
    return [command for command in _walk(Command("meshkit", cli)) if command.click is not cli]


def _walk(command: Command) -> Iterator[Command]:
    if command.click.hidden:
        return
    yield command
    if isinstance(command.click, click.Group):
        for name, inner in sorted(command.click.commands.items()):
            yield from _walk(Command(f"{command.name} {name}", inner))


def find(words: list[str]) -> tuple[Command, list[str]]:
    """The command that a line ``meshkit ...`` calls, and the words after it."""
    command, rest = Command("meshkit", cli), words[1:]
    while isinstance(command.click, click.Group) and rest and rest[0] in command.click.commands:
        command = Command(f"{command.name} {rest[0]}", command.click.commands[rest[0]])
        rest = rest[1:]
    return command, rest


def problem(line: str) -> str:
    """Why click would not take a line ``meshkit ...``; empty where it would. Nothing is executed."""
    command, rest = find(shlex.split(line))
    if isinstance(command.click, click.Group) and rest and not rest[0].startswith("-"):
        return f"`{command.name}` has no command {rest[0]!r}"
    try:
        command.click.make_context(command.name, rest)
    except click.exceptions.Exit:
        return ""
    except click.ClickException as refused:
        return refused.format_message()
    return ""


def loose_problem(span: str) -> str:
    """What does not exist in ``meshkit ...`` in the middle of a sentence, where words stand for values."""
    words = [word.strip("[]().,") for word in span.split() if word not in ("...", "…")]
    for spelt in _alternatives(words):
        command, rest = find(spelt)
        if isinstance(command.click, click.Group) and rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]):
            return f"`{command.name}` has no command {rest[0]!r}"
        known = {name for option in command.click.params for name in (*option.opts, *option.secondary_opts)}
        known |= {"--help", "-h", "--version", "--debug"}
        for word in rest:
            option = word.partition("=")[0]
            if re.fullmatch(r"--?[a-z][a-z-]*", option) and option not in known:
                return f"`{command.name}` has no option {option}"
    return ""


def _alternatives(words: list[str]) -> list[list[str]]:
    """``setup status|plan`` is two commands."""
    spelt: list[list[str]] = [[]]
    for word in words:
        choices = word.split("|") if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word) else [word]
        spelt = [[*before, choice] for before in spelt for choice in choices]
    return spelt


def mentioned() -> dict[str, list[str]]:
    """The name of each command that a hand-written page calls -> the code that does, examples first."""
    found: dict[str, list[str]] = {}
    for page in pages.pages():
        lines = [line for block in pages.blocks(page) for line in block.commands()]
        for text in [*lines, *(span for _, span in pages.spans(page))]:
            if text.startswith("meshkit "):
                for spelt in _alternatives(text.split()):
                    found.setdefault(find(spelt)[0].name, []).append(text)
    return found


def render() -> dict[str, str]:
    """Page (below ``reference/commands``) -> its Markdown."""
    examples = mentioned()
    every = commands()
    listed = table(
        ("command", "what it does"),
        ((f"[`{c.name}`](#{_label(c)})", prose(c.summary)) for c in every),
    )
    groups = [name for name, inner in sorted(cli.commands.items()) if any(c.click is inner for c in every)]
    tree = "\n".join(groups)
    made = {
        "index": f"# Commands\n\n{_help(cli)}\n\n{listed}\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n",
    }
    for group in groups:
        parts = [c for c in every if c.name.split()[1] == group]
        made[group] = "\n".join(_section(c, examples.get(c.name, [])) for c in parts)
    return made


def _section(command: Command, examples: list[str]) -> str:
    context = click.Context(command.click, info_name=command.name)
    context.max_content_width = 110
    depth = "#" if len(command.name.split()) == 2 else "##"
    usage = command.click.get_usage(context).removeprefix("Usage: ")
    records = [
        record for option in command.click.get_params(context) if (record := option.get_help_record(context))
    ]
    shown = [(code(names), prose(text)) for names, text in records]
    inner = command.click.commands if isinstance(command.click, click.Group) else {}
    parts = [
        f"({_label(command)})=\n{depth} {command.name}\n",
        _help(command.click),
        f"\n```text\n{usage}\n```\n",
        table(
            ("command", ""),
            ((code(name), prose(each.get_short_help_str(400))) for name, each in inner.items()),
        ),
        table(("option", ""), shown),
        _example(command, examples),
        pages.links(pages.mentioning(command.name), up=2),
    ]
    return "\n".join(part for part in parts if part)


def _example(command: Command, examples: list[str]) -> str:
    """The command's own example, else the first one of the guides that click takes."""
    if command.click.epilog:
        return f"```text\n{inspect.cleandoc(command.click.epilog)}\n```\n"
    fits = [line for line in examples if "|" not in line and not problem(line)]
    if isinstance(command.click, click.Group) or not fits:
        return ""
    return f"For example:\n\n```console\n{fits[0]}\n```\n"


def _help(command: click.Command) -> str:
    """A help text as Markdown; paragraphs behind a line with a backspace keep their lines."""
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    kept = []
    for paragraph in text.split("\n\n"):
        literal = paragraph.startswith("\b")
        kept.append(f"```text\n{paragraph.lstrip(chr(8)).strip()}\n```" if literal else prose(paragraph))
    return "\n\n".join(kept)


def _label(command: Command) -> str:
    return f"command-{command.name.replace(' ', '-')}"
