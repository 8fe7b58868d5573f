"""The way of a request as a trace or a table: ``meshkit explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meshkit.cli.output import (
    ClusterChoice,
    cluster_options,
    columns,
    files_option,
    json_option,
    mesh_option,
    show,
)
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.operations.explain import Explanation

_WIDE = 60


@click.command("explain")
@click.argument("request")
@click.option("--from", "caller", default="", metavar="NAMESPACE/NAME", help="The workload that calls.")
@click.option("--method", default="GET", show_default=True, help="The HTTP method.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; repeatable.")
@files_option("Read the objects of this file or folder in place of a cluster; repeatable.")
@mesh_option
@cluster_options
@json_option
def explain_command(
    request: str,
    caller: str,
    method: str,
    headers: tuple[str, ...],
    files: tuple[str, ...],
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> None:
    """Explain which rule a request takes, where it goes, and who lets it in.

    REQUEST is HOST[:PORT][/PATH]. Without a path, a table shows each rule of the host; without --from, for
    all callers. No request is sent. A request that would fail exits with 0, and the output says why.

    Example: meshkit explain --from shop/client web.shop:8080/path
    """
    from meshkit.operations.explain import explain

    named = dict(_header(each) for each in headers)
    cluster = None if files else choice.connect(name_it=as_json)
    found = explain(request, cluster, caller=caller, method=method, headers=named, files=files, mesh=mesh)
    show(found.as_record(), str(found) if len(found.ways) == 1 else _table(found), as_json=as_json)


def _header(written: str) -> tuple[str, str]:
    name, sign, value = written.partition("=")
    if not sign or not name:
        raise BadInput("--header", f"{written!r} is not NAME=VALUE.", remedy="Write --header x-user=jason.")
    return name, value


def _table(found: Explanation) -> str:
    """One row for each rule and group of callers; what is not known stands below."""
    if not found.ways:
        return str(found)
    rows = [
        (
            _short(", ".join(way.callers)),
            way.place,
            _short(way.conditions),
            way.rule,
            way.summary,
        )
        for way in found.ways
    ]
    lines = [columns(("callers", "host", "requests", "rule", "what happens"), rows)]
    lines += dict.fromkeys(f"not known: {text}" for way in found.ways for text in way.not_known)
    lines += dict.fromkeys(f"problem: {text}" for way in found.ways for text in way.problems)
    lines += [f"not read: {each}" for each in found.not_read]
    return "\n".join(lines)


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."
