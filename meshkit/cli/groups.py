"""Groups of commands whose help lists every command with its whole first sentence, under headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

_WHOLE = 400
"""More characters than the first sentence of any command has: click cuts off what is longer."""


class CommandGroup(click.Group):
    """A group of commands in the order in which they were added, with optional headings."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.headings: dict[str, list[str]] = {}

    def add_under(self, headings: Mapping[str, Sequence[click.Command]]) -> None:
        """Add commands under the headings of the help."""
        for heading, commands in headings.items():
            for command in commands:
                self.add_command(command)
            self.headings[heading] = [str(command.name) for command in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; all names are in one column."""
        widest = max(map(len, self.commands), default=0)
        for heading, names in (self.headings or {"Commands": self.list_commands(ctx)}).items():
            rows = [(name.ljust(widest), self.commands[name].get_short_help_str(_WHOLE)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(rows)
