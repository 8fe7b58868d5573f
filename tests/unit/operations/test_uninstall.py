"""An uninstall needs the context's name as confirmation; without it no request is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.deletion import goes_with
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import BadInput
from meshkit.kube import manifests
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.operations.change import apply
from meshkit.operations.plan import Plan

if TYPE_CHECKING:
    from meshkit.cluster.api import Api

GOING = PlannedStep(Step(manifests.obj(NAMESPACE, "istio-system"), removed=True), "remove")


def plan(*steps: PlannedStep) -> Plan:
    return Plan("Uninstall", "istio", "production", "https://there", steps, confirmation="production")


def cluster(context: str = "production", server: str = "https://there") -> Cluster:
    return Cluster(context, server, cast("Api", None))


@pytest.mark.parametrize("confirm", ["", "prod", "Production"])
def test_another_name_than_the_contexts_is_refused(confirm: str) -> None:
    with pytest.raises(BadInput, match=f"confirm: it is '{confirm}', not 'production'"):
        apply(plan(GOING), cluster(), confirm=confirm)


def test_the_name_is_that_of_the_plan_which_was_read() -> None:
    with pytest.raises(BadInput, match="not 'production'"):
        apply(plan(GOING), cluster("staging"), confirm="staging")


def test_where_nothing_is_left_nothing_has_to_be_written() -> None:
    assert apply(plan(), cluster()).id == ""


def test_what_goes_with_a_release_keeps_no_namespace() -> None:
    """Helm's uninstall removes all objects except those to keep, and the records of all revisions."""

    def obj(kind: str, name: str, **notes: str) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name, "namespace": "linkerd", "annotations": notes}}

    kept = obj("ConfigMap", "kept", **{"helm.sh/resource-policy": "keep"})
    objects = {title(one): one for one in (obj("Secret", "pair"), kept)}
    meta = {"name": "linkerd-control-plane", "namespace": "linkerd"}
    records = [obj("Secret", f"sh.helm.release.v1.linkerd-control-plane.v{n}") for n in (1, 2)]
    api: Any = SimpleNamespace(list=lambda kind, namespace, labels: records)
    found = goes_with(Cluster("c", "s", api), {"metadata": meta, "spec": {"objects": objects}})
    assert found == {"Secret linkerd/pair", *map(title, records)}
