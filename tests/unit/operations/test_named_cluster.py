"""Plans, changes, statuses and prompts name the cluster they are about, by context and server."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
import pytest
from click.testing import CliRunner

from meshkit.cli.output import confirm_plan, require_typed
from meshkit.cluster.connect import CLUSTER, Cluster
from meshkit.facts import ClusterRef
from meshkit.operations.health import Findings
from meshkit.operations.identity.rotate import IdentityStatus
from meshkit.operations.plan import Change, Plan
from meshkit.operations.release.runner import Outcome
from meshkit.operations.upgrade.report import UpgradeStatus
from meshkit.views.display import findings_table, plan_table, upgrade_table
from meshkit.views.plan_html import plan_card

REF = ClusterRef("prod-eu", "https://prod-eu:6443")
NAME = "prod-eu (https://prod-eu:6443)"
PLAN = Plan("Route", "istio", REF.context, REF.server, ())
FACTS = {"context": "prod-eu", "server": "https://prod-eu:6443"}


@pytest.mark.parametrize(
    "shown",
    [
        str(PLAN),
        plan_table(PLAN),
        plan_card(PLAN),
        str(Change("7", "Route", 2, REF)),
        str(Change("", "Route", 0, REF)),
        str(Findings((), REF)),
        findings_table(Findings((), REF)),
        str(IdentityStatus(REF, "linkerd", "settled", (), "issuer", 0, 0)),
        str(UpgradeStatus(REF, "istio", "1.30", "default", (), (), "Nothing is left to do.")),
        upgrade_table(UpgradeStatus(REF, "istio", "1.30", "default", (), (), "Nothing is left to do.")),
        str(Outcome("promoted", "7", ("All is well.",), None, REF)),  # type: ignore[arg-type]
    ],
)
def test_it_is_named_once(shown: str) -> None:
    assert shown.count(NAME) == 1


def test_programs_get_context_and_server() -> None:
    assert json.loads(PLAN.to_json())["cluster"] == FACTS
    assert asdict(Change("7", "Route", 2, REF))["cluster"] == FACTS


def test_a_notebook_shows_which_cluster_it_is_connected_to_and_why() -> None:
    cluster = Cluster(REF.context, REF.server, None, reason="from $KUBECONFIG")  # type: ignore[arg-type]
    bundle = cluster._repr_mimebundle_()
    assert bundle[CLUSTER] == FACTS
    assert bundle["text/plain"] == "Cluster('prod-eu', 'https://prod-eu:6443', 'from $KUBECONFIG')"


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda where: confirm_plan(where, as_json=False), "y"),
        (lambda where: require_typed("a", f"upgrade the mesh of cluster {where}", as_json=False), "a"),
    ],
)
def test_a_prompt_names_it(ask: Any, answer: str) -> None:
    @click.command()
    def command() -> None:
        ask(Cluster(REF.context, REF.server, None))  # type: ignore[arg-type]

    asked = CliRunner().invoke(command, input=f"{answer}\n")
    assert asked.exit_code == 0
    assert NAME in asked.output
