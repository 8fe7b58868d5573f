"""Alert rules, scrape configuration and dashboard as files: ``meshkit observability``."""

from __future__ import annotations

from pathlib import Path

import click

from meshkit.cli.output import json_option, required_mesh_option, show
from meshkit.errors import BadInput


@click.command("observability")
@click.option("-f", "--file", "file", metavar="FILE", help="YAML file with one kind: Observability.")
@click.option("--to", "folder", default=".", show_default=True, metavar="DIR", help="Where to write them.")
@required_mesh_option
@json_option
def observability_command(file: str | None, folder: str, mesh: str | None, as_json: bool) -> None:
    """Write alert rules, a scrape configuration and a Grafana dashboard as files.

    The command does not connect to a cluster. To install them in a cluster, together with access logs and
    traces, plan and apply a file with kind: Observability.

    Example: meshkit observability --mesh istio --to out
    """
    from meshkit.intent.document import load_intents
    from meshkit.intent.observability import Observability
    from meshkit.operations.observability import observability_files

    intents = load_intents(file) if file else [Observability()]
    documents = [intent for intent in intents if isinstance(intent, Observability)]
    if len(documents) != 1:
        raise BadInput(
            file or "",
            f"it contains {len(documents)} documents of kind: Observability.",
            remedy="Give exactly one.",
        )
    files = observability_files(documents[0], mesh=mesh)
    written = [_write(Path(folder) / name, text) for name, text in files.items()]
    rules = next(path for path in written if path.name == "rules.yaml")
    show(
        {"files": [str(path) for path in written]},
        "\n".join(f"wrote {path}" for path in written)
        + f"\nCheck them with: promtool check rules {rules}"
        + "\nAdd them to prometheus.yml (scrape_config_files, rule_files); import the .json in Grafana.",
        as_json=as_json,
    )


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            "--to", f"{path} cannot be written: {error}.", remedy="Choose a folder that you can write to."
        ) from error
    return path
