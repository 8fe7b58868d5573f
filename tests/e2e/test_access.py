"""An access rule from the calls seen to enforcement, on both meshes, judged by what the callers recorded.

Takes about a minute on each mesh: the shop starts behind sidecars, and rules are watched three times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import meshkit as mk
from meshkit import codes
from meshkit.cli.app import cli
from meshkit.errors import ChangeFailed, ManualActionRequired
from meshkit.facts import Kind
from meshkit.intent.document import load_intents, written
from meshkit.operations import shop
from meshkit.operations.access.enforcement import AccessWatch, enforce_access, plan_access
from meshkit.operations.access.matrix import access_matrix
from meshkit.operations.access.trial import access_denials
from tests.e2e.ledgers import Requests, wait_until_served

DEPLOYMENT, ACCOUNT = Kind("apps/v1", "Deployment"), Kind("v1", "ServiceAccount")
RARE, UNEXPECTED = "shop/nightly", "nightly"


@pytest.fixture(scope="module")
def meshed(mesh_in_use: mk.Cluster) -> Iterator[mk.Cluster]:
    """The shop and a second caller, which the rules leave out."""
    cluster = mesh_in_use
    for item in shop.shop_objects(rps=5, versions={}):
        if item["metadata"]["name"] == "client":
            item = json.loads(json.dumps(item).replace('"client"', '"nightly"'))
            cluster.api.apply(item)
    shop.wait_for_shop(cluster, deployments=[("shop", UNEXPECTED)])
    wait_until_served(cluster)
    yield cluster
    cluster.api.delete(DEPLOYMENT, UNEXPECTED, "shop")
    cluster.api.delete(ACCOUNT, UNEXPECTED, "shop")


def test_a_rule_is_proposed_tried_enforced_and_taken_back(meshed: mk.Cluster, mesh: str) -> None:
    matrix = access_matrix(meshed, "shop", mesh=mesh, window_s=4)
    callers = {(row.caller, row.service) for row in matrix.rows if row.in_window}
    assert {("shop/client", "web"), (RARE, "web"), ("shop/web", "stock")} <= callers
    assert {row.port for row in matrix.rows if row.service == "web"} == {8080}
    proposed = {intent.service: intent for intent in matrix.intents()}
    assert load_intents(written(proposed.values())) == list(proposed.values())
    assert {each.service_account for each in proposed["web"].callers} == {"client", "nightly"}
    only_client = (mk.Caller(namespace="shop", service_account="client"),)
    rule = proposed["web"].model_copy(update={"callers": only_client})

    with Requests(meshed) as trial:
        tried = mk.apply(mk.plan(rule, meshed, mesh=mesh), meshed)
        report = access_denials(meshed, "shop", mesh=mesh, for_s=6)
    assert set(trial.status.values()) == {200}  # nobody is refused
    assert report.refused == (RARE,)
    assert sum(each.in_window for each in report.denials) >= 15
    assert report.counted >= 15
    assert report.passed >= 60
    assert access_matrix(meshed, "shop", mesh=mesh, window_s=1).ruled == {"web"}

    plan = plan_access([rule], meshed, mesh=mesh)
    found = {(each.code, each.message.partition(" ")[0]) for each in plan.findings}
    assert found == {(codes.OBSERVED_CALLER_REFUSED.id, RARE)}
    with pytest.raises(ManualActionRequired, match=RARE):
        enforce_access(plan, meshed, AccessWatch("shop", 6))

    before = refused_now(meshed)
    with pytest.raises(ChangeFailed, match=RARE) as failed:
        enforce_surprised(meshed, mesh, rule)
    assert failed.value.undone
    assert before == 0
    assert access_denials(meshed, "shop", mesh=mesh, for_s=2).refused == (RARE,)  # it is on trial again

    plan = plan_access([rule], meshed, mesh=mesh)
    change = enforce_access(plan, meshed, AccessWatch("shop", 6, expected=(RARE,)))
    assert refused_now(meshed) > 0
    mk.undo(change.id, meshed)
    mk.undo(tried.id, meshed)  # The shop goes on to other files.


def enforce_surprised(cluster: mk.Cluster, mesh: str, rule: mk.Access) -> None:
    """Enforce a rule of which the plan did not say whom it refuses, as if the caller had never called."""
    plan = plan_access([rule], cluster, mesh=mesh)
    unwarned = mk.plan(rule.model_copy(update={"mode": "enforce"}), cluster, mesh=mesh)
    assert len(unwarned.steps) == len(plan.steps)
    enforce_access(unwarned, cluster, AccessWatch("shop", 20))


def refused_now(cluster: mk.Cluster) -> int:
    """How many requests of the caller that the rule leaves out were answered with 403 in the last second."""
    (pod,) = cluster.api.list(Kind("v1", "Pod"), "shop", f"app={UNEXPECTED}")
    until_s = time.time()
    page = f"/-/requests?since={until_s - 1.0:.3f}&until={until_s:.3f}"
    found = json.loads(cluster.api.pod_get("shop", pod["metadata"]["name"], 9000, page))
    return sum(status == 403 for status in found["status"])


def test_the_commands_say_the_same(
    meshed: mk.Cluster, mesh: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-n", "shop", "--mesh", mesh, "--kubeconfig", str(meshed.kubeconfig)]
    file = tmp_path / "access.yaml"
    cli.main(["access", "propose", "--window", "2", "--to", str(file), *where], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "shop/client" in shown
    assert "sidecars answered" in shown
    assert "Source: " in shown
    assert {intent.mode for intent in load_intents(file)} == {"shadow"}  # type: ignore[attr-defined]
