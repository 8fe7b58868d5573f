"""An undo of a change to part of an object restores that part only.

Changes that an autoscaler or another person has made to other fields do not block it.
"""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import Conflict, ManualActionRequired
from meshkit.facts import Kind
from meshkit.kube import manifests
from meshkit.kube.kinds import DEPLOYMENT
from meshkit.kube.metadata import managers
from meshkit.kube.steps import Step
from meshkit.kube.workloads import RESTART_ANNOTATION, restart
from meshkit.operations.change import apply, undo_together
from meshkit.operations.plan import Change
from meshkit.operations.undo import undo
from tests.contract.plans import planned

NAMESPACE = Kind("v1", "Namespace")


def labels(cluster: Cluster, namespace: str) -> dict[str, str]:
    found = cluster.api.get(NAMESPACE, namespace)
    assert found is not None
    return {key: value for key, value in found["metadata"]["labels"].items() if "/" not in key}


def label(namespace: str, manager: str, **given: str) -> Step:
    return Step(manifests.obj(NAMESPACE, namespace, labels=given), manager=manager, partial=True)


def written(cluster: Cluster, *steps: Step) -> Change:
    return apply(planned(cluster, steps), cluster)


def deployment(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """A Deployment without pods that another manager owns."""
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "example.org/web"}]},
        },
    }
    return cluster.api.apply(manifests.obj(DEPLOYMENT, "web", namespace, spec=spec), manager="owner")


def restarted_at(cluster: Cluster, namespace: str) -> tuple[int, dict[str, str]]:
    found = cluster.api.get(DEPLOYMENT, "web", namespace)
    assert found is not None
    return found["spec"]["replicas"], found["spec"]["template"]["metadata"].get("annotations") or {}


def test_what_others_wrote_beside_it_stays(cluster: Cluster, namespace: str) -> None:
    written(cluster, label(namespace, "meshkit-a", mark="old"))
    change = written(cluster, label(namespace, "meshkit-a", other="new"))
    assert labels(cluster, namespace) == {"other": "new"}
    cluster.api.apply(label(namespace, "", team="payments").object, manager="colleague")

    undo(change.id, cluster)
    assert labels(cluster, namespace) == {"mark": "old", "team": "payments"}
    assert written(cluster, label(namespace, "meshkit-a", mark="old")).id == "", "its manager owns it again"


def test_what_others_gave_away_since_is_not_given_back(cluster: Cluster, namespace: str) -> None:
    """Only the fields that the change took are anybody's again: not all that they once had."""
    cluster.api.apply(label(namespace, "", mark="theirs", team="a").object, manager="owner")
    taken = Step(
        manifests.obj(NAMESPACE, namespace, labels={"mark": "ours"}), "meshkit-a", partial=True, force=True
    )
    change = written(cluster, taken)
    cluster.api.apply(label(namespace, "", team="b").object, manager="successor", force=True)
    undo(change.id, cluster)
    found = cluster.api.get(NAMESPACE, namespace)
    assert found is not None
    assert labels(cluster, namespace) == {"mark": "theirs", "team": "b"}
    assert managers(found, "metadata", "labels", "mark") == ["owner"]
    assert managers(found, "metadata", "labels", "team") == ["successor"]


def test_a_workload_scaled_between_plan_and_change_is_no_reason_to_stop(
    cluster: Cluster, namespace: str
) -> None:
    plan = planned(cluster, [restart(deployment(cluster, namespace))])
    cluster.api.merge_patch(DEPLOYMENT, "web", namespace, {"metadata": {"labels": {"size": "scaled"}}})
    apply(plan, cluster)
    assert restarted_at(cluster, namespace)[1] == {RESTART_ANNOTATION: "1"}


def test_a_part_that_changed_since_the_plan_stops_the_change(cluster: Cluster, namespace: str) -> None:
    plan = planned(cluster, [label(namespace, "meshkit-a", mark="new")])
    cluster.api.apply(label(namespace, "", mark="new").object, manager="colleague")
    with pytest.raises(Conflict, match="where this would change it"):
        apply(plan, cluster)


def test_changes_that_go_together_put_marks_before_any_restart(cluster: Cluster, namespace: str) -> None:
    made = deployment(cluster, namespace)
    first = written(cluster, label(namespace, "meshkit-a", mark="new"), restart(made))
    found = cluster.api.get(DEPLOYMENT, "web", namespace)
    assert found is not None
    second = written(cluster, restart(found))
    told: list[str] = []
    undo_together(
        [second.id, first.id],
        cluster,
        what="Both",
        progress=lambda one: told.append(one.title) if one.state == "applying" else None,
    )
    assert told == [f"Namespace {namespace}", f"Deployment {namespace}/web"]
    assert restarted_at(cluster, namespace)[1] == {}
    assert labels(cluster, namespace) == {}


def test_what_others_wrote_into_it_stops_the_undo(cluster: Cluster, namespace: str) -> None:
    change = written(cluster, label(namespace, "meshkit-a", mark="new"))
    cluster.api.apply(label(namespace, "", mark="theirs").object, manager="colleague", force=True)
    with pytest.raises(ManualActionRequired, match=f"Namespace {namespace} .by colleague"):
        undo(change.id, cluster)
    assert labels(cluster, namespace) == {"mark": "theirs"}


def test_a_workload_that_was_scaled_since_is_restarted_again(cluster: Cluster, namespace: str) -> None:
    """The restart is waited for on the sandbox and on Kubernetes; without replicas it is over at once."""
    made = deployment(cluster, namespace)
    step = restart(made)
    change = written(cluster, step)
    assert restarted_at(cluster, namespace)[1] == {RESTART_ANNOTATION: "1"}
    cluster.api.merge_patch(DEPLOYMENT, "web", namespace, {"metadata": {"labels": {"size": "scaled"}}})

    undo(change.id, cluster)
    assert restarted_at(cluster, namespace) == (0, {})
    found = cluster.api.get(DEPLOYMENT, "web", namespace)
    assert found is not None
    assert found["metadata"]["labels"] == {"size": "scaled"}


def test_a_workload_that_was_restarted_since_is_restarted_once_more(cluster: Cluster, namespace: str) -> None:
    first = written(cluster, restart(deployment(cluster, namespace)))
    found = cluster.api.get(DEPLOYMENT, "web", namespace)
    assert found is not None
    written(cluster, restart(found))
    undo(first.id, cluster)
    assert restarted_at(cluster, namespace)[1] == {RESTART_ANNOTATION: "3"}
