"""Look at the routes of a Service and make the common changes: ``meshkit route show | set | add-match``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshkit.cli.changes import show_or_apply
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    ClusterChoice,
    F,
    cluster_options,
    echo,
    files_option,
    json_option,
    mesh_option,
    show,
)
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.intent.traffic import Route
    from meshkit.operations.plan import Plan

_SERVICE = "NAMESPACE/NAME"


@click.group("route", cls=CommandGroup)
def route_group() -> None:
    """Show the routes of a Service, and change shares and matches.

    Example: meshkit route show shop/web
    """


@route_group.command("show")
@click.argument("service", metavar=f"[{_SERVICE}]", default="")
@click.option("--port", type=int, metavar="PORT", help="Only this port of the Service.")
@files_option("Read the objects of this file or folder in place of a cluster; repeatable.")
@mesh_option
@cluster_options
@json_option
def show_command(
    service: str,
    port: int | None,
    files: tuple[str, ...],
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> None:
    """Show the rules that hold for a Service, by port and caller, in the order in which they are tried.

    They are what the callers' proxies do, whoever wrote the objects. Without a Service, each Service that
    has rules of its own is shown.

    Example: meshkit route show shop/web
    """
    from meshkit.operations.routes.show import service_routes

    cluster = None if files else choice.connect(name_it=as_json)
    found = service_routes(service, cluster, port=port, files=files, mesh=mesh)
    show(found.as_record(), str(found), as_json=as_json)


def _editing(command: F) -> F:
    """Add the options of a command that changes a Route."""
    for option in (
        json_option,
        cluster_options,
        mesh_option,
        click.option("--yes", is_flag=True, help="Do not ask after showing the plan."),
        click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
        click.option(
            "-f",
            "--file",
            "file",
            metavar="FILE",
            help="Change the Route in this file of intents, and apply it; without it, the Route is read back"
            " from the cluster.",
        ),
        click.option("--port", type=int, metavar="PORT", help="The port, if Routes are for several."),
    ):
        command = option(command)
    return command


@route_group.command("set")
@click.argument("service", metavar=_SERVICE)
@click.argument("shares", metavar="VERSION=PERCENT...", nargs=-1, required=True)
@_editing
def set_command(service: str, shares: tuple[str, ...], **options: Any) -> int:
    """Give the versions of a Service other shares of its requests.

    The command shows the plan with the requests that change, and asks. `meshkit undo ID` takes it back. It
    is refused for objects of others, and while a release shifts the requests. With --dry-run, exit code 5:
    changes are pending.

    Example: meshkit route set shop/web v1=90 v2=10
    """
    from meshkit.intent.editing.route_edits import with_split
    from meshkit.operations.routes.edit import plan_split

    split = _shares(shares)
    return _edit(
        service,
        lambda route: with_split(route, split),
        lambda cluster, **given: plan_split(service, split, cluster, **given),
        **options,
    )


@route_group.command("add-match")
@click.argument("service", metavar=_SERVICE)
@click.argument("version", metavar="VERSION")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; repeatable.")
@click.option("--query", "query", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
@click.option("--path", metavar="PATH", help="The exact path.")
@click.option("--prefix", metavar="PATH", help="The beginning of the path, by whole segments.")
@click.option("--method", metavar="METHOD", help="The HTTP method.")
@click.option("--grpc", metavar="SERVICE[/METHOD]", help="The service, or the method, of gRPC calls.")
@click.option("--first", is_flag=True, help="Try it before the rules and matches that are there.")
@_editing
def add_match_command(
    service: str,
    version: str,
    headers: tuple[str, ...],
    query: tuple[str, ...],
    path: str | None,
    prefix: str | None,
    method: str | None,
    grpc: str | None,
    first: bool,
    **options: Any,
) -> int:
    """Send the requests that meet all conditions to one version.

    The other rules stay as they are, and are tried before it. The command shows the plan with the requests
    that change, and asks. `meshkit undo ID` takes it back. With --dry-run, exit code 5: changes are pending.

    Example: meshkit route add-match shop/web v2 --header x-user=tester
    """
    from meshkit.intent.editing.route_edits import with_match
    from meshkit.operations.routes.edit import plan_match

    match = _match(headers, query, path, prefix, method, grpc)
    return _edit(
        service,
        lambda route: with_match(route, match, version, first=first),
        lambda cluster, **given: plan_match(service, match, version, cluster, first=first, **given),
        **options,
    )


def _edit(
    service: str,
    change: Callable[[Route], Route],
    planned: Callable[..., Plan],
    *,
    port: int | None,
    file: str | None,
    dry_run: bool,
    yes: bool,
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    route, text = None, ""
    if file is not None:
        route = _route_in(file, service, port)
        text = _written(file, route, change(route), as_json=as_json)
    cluster = choice.connect()
    plan = planned(cluster, port=port, route=route, mesh=mesh)
    code = show_or_apply(plan, cluster, choice, applied=not dry_run, yes=yes, as_json=as_json)
    if file is not None and not dry_run:
        Path(file).write_text(text, encoding="utf-8")
        echo(f"{file} has the change; 'meshkit undo' does not change the file.", err=as_json)
    return code


def _route_in(file: str, service: str, port: int | None) -> Route:
    """The Route of a Service in a file of intents."""
    from meshkit.intent.document import load_intents
    from meshkit.intent.editing.file_edits import routes_in
    from meshkit.operations.routes.edit import service_of

    found = routes_in(load_intents(file), *service_of(service), port)
    if not found:
        where = f"port {port} of {service}" if port else service
        raise BadInput(file, f"it has no Route for {where}.", remedy="Give the file that has one.")
    if len(found) > 1:
        ports = " and ".join(str(each.port) for each in found)
        raise BadInput(file, f"it has Routes of {service} for ports {ports}.", remedy="Name one with --port.")
    return found[0]


def _written(file: str, route: Route, wanted: Route, *, as_json: bool) -> str:
    """The text of a file with the changed Route, after showing what changes in it."""
    from meshkit.intent.editing.file_edits import edited
    from meshkit.kube.yaml_input import text_of

    before = text_of(file)
    after = edited(before, file, route, wanted)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), file, file, lineterm="", n=1)
    echo("\n".join(lines), err=as_json)
    return after


def _shares(written: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in written:
        name, sign, percent = each.partition("=")
        try:
            share = float(percent.removesuffix("%"))
        except ValueError:
            sign = ""
        if not sign or not name:
            raise BadInput("shares", f"{each!r} is not VERSION=PERCENT.", remedy="Write v1=90 v2=10.")
        if name in found:
            raise BadInput("shares", f"{name} is named twice.", remedy="Name each version once.")
        found[name] = share
    return found


def _match(
    headers: Iterable[str],
    query: Iterable[str],
    path: str | None,
    prefix: str | None,
    method: str | None,
    grpc: str | None,
) -> Any:
    from meshkit.intent.rules import Match

    if path and prefix:
        raise BadInput("--prefix", "it excludes --path.", remedy="Give one of the two.")
    called = (grpc or "").partition("/")
    fields: dict[str, Any] = {
        "headers": {name: {"exact": value} for name, value in _pairs("--header", headers)},
        "query": {name: {"exact": value} for name, value in _pairs("--query", query)},
        "path": {"exact": path} if path else {"prefix": prefix} if prefix else None,
        "method": method,
        "grpc": {name: part for name, part in (("service", called[0]), ("method", called[2])) if part},
    }
    given = {name: value for name, value in fields.items() if value}
    if not given:
        raise BadInput(
            "match",
            "it has no condition, and would take every request.",
            remedy="Give --header, --query, --path, --prefix, --method or --grpc; 'route set' sets shares.",
        )
    return Match(**given)


def _pairs(option: str, written: Iterable[str]) -> Iterable[tuple[str, str]]:
    seen = set()
    for each in written:
        name, sign, value = each.partition("=")
        if not sign or not name:
            raise BadInput(option, f"{each!r} is not NAME=VALUE.", remedy=f"Write {option} x-user=tester.")
        if name.lower() in seen:
            raise BadInput(option, f"{name} is named twice.", remedy="Name each one once.")
        seen.add(name.lower())
        yield name, value
