"""Tests of the help texts: whole sentences, and an example that the command line accepts."""

from __future__ import annotations

import inspect
import re

import click
import pytest

from meshkit.cli.app import cli
from tools.docs.commands import Command, commands, problem


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_command_shows_an_example_that_parses(command: Command) -> None:
    text = " ".join(inspect.cleandoc(command.click.help or "").split())
    example = re.search(r"Example: (meshkit .*)$", text)
    assert example, f"the help of {command.name} has no example"
    assert example[1].startswith(command.name)
    assert problem(example[1]) == ""


@pytest.mark.parametrize(
    "group", [c for c in commands() if isinstance(c.click, click.Group)], ids=lambda group: group.name
)
def test_the_help_of_a_group_cuts_no_sentence_off(group: Command) -> None:
    shown = group.click.get_help(click.Context(group.click, max_content_width=80))
    assert "..." not in shown.split("Commands:")[1]


def test_every_command_is_listed_under_one_heading() -> None:
    listed = [name for names in cli.headings.values() for name in names]
    assert sorted(listed) == sorted(cli.commands)
    shown = cli.get_help(click.Context(cli, max_content_width=80))
    assert "Set up a mesh:\n  setup " in shown
    assert "..." not in shown.split("Set up a mesh:")[1]
