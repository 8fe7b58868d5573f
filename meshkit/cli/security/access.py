"""Access rules from observed calls to enforcement: ``meshkit access propose | denials | enforce``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meshkit.cli.changes import progress, show_change, show_plan
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    SECONDS,
    ClusterChoice,
    changing,
    cluster_options,
    confirm_plan,
    echo,
    file_option,
    json_option,
    mesh_option,
    show,
)
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.intent.security import Access

_NAMESPACE = click.option(
    "-n",
    "--namespace",
    default="shop",
    show_default=True,
    metavar="NAME",
    help="The namespace of the Services.",
)


@click.group("access", cls=CommandGroup)
def access_group() -> None:
    """Propose access rules from the calls seen, try them without refusing anyone, and enforce them.

    Example: meshkit access propose -n shop --to access.yaml
    """


@access_group.command("propose")
@_NAMESPACE
@click.option(
    "--window",
    "window_s",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long calls are counted.",
)
@click.option("--to", "file", metavar="FILE", help="Write the proposed rules to this file of intents.")
@mesh_option
@cluster_options
@json_option
def propose_command(
    namespace: str, window_s: float, file: str | None, mesh: str | None, choice: ClusterChoice, as_json: bool
) -> None:
    """Show who calls the Services of a namespace, and write rules that let in just these callers.

    The rules are on trial (mode: shadow): `meshkit apply -f FILE` refuses nobody. Add the callers that call
    rarely. Nothing is changed.

    Example: meshkit access propose -n shop --to access.yaml
    """
    from meshkit.intent.document import written
    from meshkit.operations.access.matrix import access_matrix

    matrix = access_matrix(choice.connect(name_it=as_json), namespace, mesh=mesh, window_s=window_s)
    told = f"wrote {matrix.save(file)}" if file else f"\n{written(matrix.intents())}".rstrip()
    shown = f"{matrix}\n{told}"
    record = {**matrix.as_record(), "intents": [each.model_dump(mode="json") for each in matrix.intents()]}
    show(record, shown, as_json=as_json)


@access_group.command("denials")
@_NAMESPACE
@click.option(
    "--for",
    "for_s",
    type=SECONDS,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long calls are counted.",
)
@mesh_option
@cluster_options
@json_option
def denials_command(
    namespace: str, for_s: float, mesh: str | None, choice: ClusterChoice, as_json: bool
) -> None:
    """List by caller whom the access rules on trial would refuse.

    The counts since the sidecars started are listed, too. Nothing is changed.

    Example: meshkit access denials -n shop --for 3600
    """
    from meshkit.operations.access.trial import access_denials

    cluster = choice.connect(name_it=as_json)
    report = access_denials(
        cluster, namespace, mesh=mesh, for_s=for_s, progress=progress(as_json=as_json, err=True)
    )
    show(report.as_record(), str(report), as_json=as_json)


@access_group.command("enforce")
@file_option("YAML file with all rules of the Services (kind: Access).")
@click.option(
    "--watch",
    "watch_s",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long denials are watched.",
)
@click.option(
    "--expect-denied",
    "expected",
    multiple=True,
    metavar="NAMESPACE/ACCOUNT",
    help="A caller that is to be refused, or unknown for callers without an identity; repeatable.",
)
@click.option("--force", is_flag=True, help="Keep the rules although other callers are refused.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@mesh_option
@cluster_options
@json_option
def enforce_command(
    file: str,
    watch_s: float,
    expected: tuple[str, ...],
    force: bool,
    dry_run: bool,
    yes: bool,
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Enforce the rules of a file, watch the denials, and undo the change if others are refused.

    Before the change, the rules are held against the calls seen, and against the requests that every pod must
    get although they have no identity: probes, scrapes, webhooks. With --dry-run, exit code 5: changes are
    pending.

    Example: meshkit access enforce -f access.yaml --watch 300
    """
    from meshkit.operations.access.enforcement import (
        AccessWatch,
        enforce_access,
        expected_of,
        plan_access,
        require_accepted,
    )

    rules = _rules(file)
    watch = AccessWatch(rules[0].namespace, watch_s, expected_of(expected), force)
    cluster = choice.connect()
    plan = plan_access(rules, cluster, mesh=mesh)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    require_accepted(plan, watch)
    if not as_json:
        echo(plan)
    if not (yes or plan.empty):
        confirm_plan(cluster, as_json=as_json)
    with changing():
        change = enforce_access(plan, cluster, watch, progress=progress(as_json=as_json))
    show_change(change, choice, as_json=as_json)
    return 0


def _rules(file: str) -> list[Access]:
    from meshkit.intent.document import load_intents
    from meshkit.intent.security import Access

    intents = load_intents(file)
    rules = [each for each in intents if isinstance(each, Access)]
    spaces = {each.namespace for each in rules}
    if len(rules) != len(intents) or len(spaces) != 1:
        problem = "it must contain documents of kind: Access only, for one namespace."
        raise BadInput(file, problem, remedy="Apply the others with 'meshkit apply -f'.")
    return rules
