"""Tests of the help texts: every command shows an example that the command line accepts."""

from __future__ import annotations

import inspect
import re

import pytest

from tools.docs.commands import Command, commands, problem


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_command_shows_an_example_that_parses(command: Command) -> None:
    text = " ".join(inspect.cleandoc(command.click.help or "").split())
    example = re.search(r"Example: (meshkit .*)$", text)
    assert example, f"the help of {command.name} has no example"
    assert example[1].startswith(command.name)
    assert problem(example[1]) == ""
