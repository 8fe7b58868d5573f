"""Files to begin with: ``meshkit init`` writes a commented document, ``meshkit schema`` its JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from meshkit.cli.output import echo
from meshkit.errors import BadInput


@click.command("init")
@click.argument("kind")
@click.option("--to", "file", metavar="FILE", help="Write a new file instead of standard output.")
def init_command(kind: str, file: str | None) -> None:
    """Write a commented YAML document of a KIND, such as Route or Release.

    Required fields have example values. Optional fields are commented out and show their default or an
    example. `meshkit plan -f FILE` shows what the document would change.

    Example: meshkit init Route --to route.yaml
    """
    from meshkit.intent.template import template

    text = template(kind)
    if file is None:
        echo(text, nl=False)
        return
    try:
        with Path(file).open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as error:
        raise BadInput("--to", f"{file} exists already.", remedy="Name a new file.") from error
    except OSError as error:
        raise BadInput(
            "--to", f"{file} cannot be written: {error}.", remedy="Name a file that you can write."
        ) from error
    echo(f"wrote {file}\nNext: edit it, then run: meshkit plan -f {file}")


@click.command("schema")
@click.argument("kind")
def schema_command(kind: str) -> None:
    """Print the JSON Schema of a KIND, for completion and checks in an editor.

    The schema goes to standard output; name the saved file in the editor's settings.

    Example: meshkit schema Route
    """
    from meshkit.intent.template import schema

    echo(json.dumps(schema(kind), indent=2))
