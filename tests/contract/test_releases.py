"""Releases of charts are planned, applied and taken back like any other object, by the real Helm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster import rights
from meshkit.cluster.connect import Cluster
from meshkit.cluster.helm import Helm, installed
from meshkit.cluster.ready import established
from meshkit.cluster.rights import Right
from meshkit.cluster.steps import dry_run
from meshkit.errors import BadInput, ChangeFailed, Conflict, Forbidden, ManualActionRequired
from meshkit.facts import Kind
from meshkit.intent.mesh import ControlPlane
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step
from meshkit.meshes.control_plane import release_step
from meshkit.operations.change import apply
from meshkit.operations.plan import Plan
from meshkit.operations.undo import undo

CHART = Path(__file__).with_name("chart")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
CONFIGMAP, DEPLOYMENT = Kind("v1", "ConfigMap"), Kind("apps/v1", "Deployment")
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(autouse=True)
def helm(helm_program: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MESHKIT_HELM", helm_program)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{name}_HOME", str(tmp_path / name.lower()))
    # A server cannot check the objects of a kind that the same chart brings along: it is there before. It
    # stays, as Helm leaves it: removed and made again at once, Kubernetes does not serve it yet.
    cluster.api.apply(yaml.safe_load((CHART / "crds" / "greetings.yaml").read_text()), manager="test")
    cluster.api.wait(CRD, "greetings.chart.example.com", None, established, 30, "established")


def greeter(namespace: str, *, tested: tuple[str, ...] = ("1.",), **values: Any) -> Step:
    return release_step(
        "hi",
        namespace,
        ControlPlane(charts=str(Path(__file__).parent)),
        values,
        published="",
        directories=("charts/greeter", "chart"),
        version="1.0.0",
        tested=tested,
    )


def planned(cluster: Cluster, *steps: Step) -> Plan:
    pending = tuple(one for one in dry_run.check(cluster, steps) if one.action != "keep")
    return Plan("ControlPlane", "istio", cluster.context, cluster.server, pending)


def version(cluster: Cluster, namespace: str) -> str | None:
    found = cluster.api.get(CONFIGMAP, "hi-settings", namespace)
    return str(found["data"]["version"]) if found else None


def test_a_release_is_installed_shown_changed_and_taken_back(
    cluster: Cluster, namespace: str, sandbox_images: None
) -> None:
    installed = apply(planned(cluster, greeter(namespace)), cluster)
    assert cluster.api.list(DEPLOYMENT, namespace)[0]["status"]["availableReplicas"] == 1
    assert planned(cluster, greeter(namespace)).empty

    plan = planned(cluster, greeter(namespace, version="v2"))
    shown = {change.path: (change.before, change.after) for change in plan.steps[0].changes}
    assert shown["spec.objects.ConfigMap hi-settings.data.version"] == ("v1", "v2")
    upgraded = apply(plan, cluster)
    assert version(cluster, namespace) == "v2"

    undo(upgraded.id, cluster)
    assert version(cluster, namespace) == "v1"
    undo(installed.id, cluster)
    assert version(cluster, namespace) is None
    assert Helm(cluster).get(RELEASE, "hi", namespace) is None


def test_a_release_that_never_gets_ready_is_taken_back(
    cluster: Cluster, namespace: str, sandbox_images: None
) -> None:
    apply(planned(cluster, greeter(namespace)), cluster)
    with pytest.raises(ChangeFailed, match="pre-upgrade hooks failed"):
        apply(planned(cluster, greeter(namespace, version="v2", hookExitCode=1)), cluster)
    assert version(cluster, namespace) == "v1"


def test_a_release_that_others_upgraded_since_is_not_taken_back(
    cluster: Cluster, namespace: str, sandbox_images: None
) -> None:
    installed = apply(planned(cluster, greeter(namespace)), cluster)
    Helm(cluster).apply(greeter(namespace, version="v3").object)
    with pytest.raises(ManualActionRequired, match=f"Release {namespace}/hi"):
        undo(installed.id, cluster)
    assert version(cluster, namespace) == "v3"


def test_a_chart_is_looked_at_before_its_namespace_is_there(cluster: Cluster) -> None:
    with pytest.raises(BadInput, match=r"version 1\.0\.0; meshkit is tested with 9\.\*"):
        planned(cluster, greeter("nowhere", tested=("9.",)))


def test_a_directory_without_the_chart_is_named(cluster: Cluster, namespace: str) -> None:
    step = greeter(namespace)
    step.object["spec"]["directories"] = ["nothing"]
    with pytest.raises(BadInput, match="holds no chart nothing"):
        planned(cluster, step)


def test_without_helm_a_sentence_says_so(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MESHKIT_HELM")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="there is no helm on PATH"):
        planned(cluster, greeter(namespace))


def test_a_release_is_taken_away_and_an_undo_brings_it_back(
    cluster: Cluster, namespace: str, sandbox_images: None
) -> None:
    apply(planned(cluster, greeter(namespace, version="v2")), cluster)
    assert ("hi", namespace) in {
        (one["metadata"]["name"], one["metadata"]["namespace"]) for one in installed(cluster)
    }
    plan = planned(cluster, Step(greeter(namespace).object, removed=True))
    assert [one.action for one in plan.steps] == ["remove"]

    gone = apply(plan, cluster)
    assert Helm(cluster).get(RELEASE, "hi", namespace) is None
    assert version(cluster, namespace) is None

    undo(gone.id, cluster)
    assert version(cluster, namespace) == "v2"
    assert cluster.api.list(DEPLOYMENT, namespace)[0]["status"]["availableReplicas"] == 1
    assert planned(cluster, greeter(namespace, version="v2")).empty


def settings(namespace: str, version: str) -> dict[str, Any]:
    meta = {"name": "hi-settings", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"version": version}}


def test_fields_that_a_control_plane_writes_into_its_chart_are_taken_back_with_it(
    cluster: Cluster, namespace: str
) -> None:
    """Helm 4 applies server-side, so it would stop at what istiod writes into the webhooks of its chart."""
    apply(planned(cluster, greeter(namespace)), cluster)
    upgraded = apply(planned(cluster, greeter(namespace, version="v2")), cluster)
    cluster.api.apply(settings(namespace, "istiod's"), manager="pilot-discovery", force=True)
    undo(upgraded.id, cluster)
    assert version(cluster, namespace) == "v1"
    assert planned(cluster, greeter(namespace)).empty


def test_fields_that_others_own_stop_helm_and_the_rest_can_be_resumed(
    cluster: Cluster, namespace: str
) -> None:
    apply(planned(cluster, greeter(namespace)), cluster)
    upgraded = apply(planned(cluster, greeter(namespace, version="v2")), cluster)
    cluster.api.apply(settings(namespace, "theirs"), manager="operator", force=True)
    with pytest.raises(Conflict, match=r"\.data\.version of operator") as stopped:
        undo(upgraded.id, cluster)
    assert set(stopped.value.managers) == {"operator"}
    assert version(cluster, namespace) == "theirs"
    (left,) = planned(cluster, greeter(namespace)).steps
    assert [(field.path, field.before) for field in left.changes] == [("spec.status", "failed")]

    cluster.api.apply(settings(namespace, "v2"), manager="helm", force=True)
    undo(upgraded.id, cluster)
    assert version(cluster, namespace) == "v1"
    assert planned(cluster, greeter(namespace)).empty


def test_an_undo_that_stopped_half_way_goes_on(cluster: Cluster, namespace: str) -> None:
    """What it brought back already is its own work, and no change by others."""
    beside = Step(settings(namespace, "beside") | {"metadata": {"name": "beside", "namespace": namespace}})
    apply(planned(cluster, beside, greeter(namespace)), cluster)
    going = planned(cluster, *(Step(one.object, removed=True) for one in (beside, greeter(namespace))))
    gone = apply(going, cluster)
    assert version(cluster, namespace) is None

    def interrupt(event: Any) -> None:
        if str(event).endswith("beside") and event.state == "applying":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo(gone.id, cluster, progress=interrupt)
    assert version(cluster, namespace) == "v1"
    assert cluster.api.get(CONFIGMAP, "beside", namespace) is None
    undo(gone.id, cluster)
    assert cluster.api.get(CONFIGMAP, "beside", namespace) is not None
    assert planned(cluster, beside, greeter(namespace)).empty


def may(cluster: Cluster, account: str, namespace: str, wanted: set[Right]) -> None:
    """Give an account of the namespace these rights and no other; those for elsewhere it gets everywhere."""
    inside = {right for right in wanted if right.namespace == namespace}
    for kind, where, given in (
        ("Role", {"namespace": namespace}, inside),
        ("ClusterRole", {}, wanted - inside),
    ):
        name = f"{namespace}-{account}"
        role = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, **where}}
        rules = [
            {"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}
            for right in given
        ]
        cluster.api.apply({**role, "rules": rules}, manager="test")
        reference = {"apiGroup": RBAC, "kind": kind, "name": name}
        subjects = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
        binding = {**role, "kind": f"{kind}Binding", "roleRef": reference, "subjects": subjects}
        cluster.api.apply(binding, manager="test")


def test_the_rights_asked_for_are_all_that_a_release_needs(
    cluster: Cluster, as_account: Callable[..., Cluster], namespace: str, sandbox_images: None
) -> None:
    smith = as_account("smith")
    step = greeter(namespace)
    may(cluster, "smith", namespace, rights.of_releases(cluster, [step]) | rights.of_journal(smith.api))
    installed = apply(planned(smith, step), smith)
    assert version(cluster, namespace) == "v1"
    upgraded = apply(planned(smith, greeter(namespace, version="v2")), smith)
    undo(upgraded.id, smith)
    assert version(cluster, namespace) == "v1"
    undo(installed.id, smith)
    assert version(cluster, namespace) is None


def test_a_right_for_one_object_of_a_chart_that_is_missing_stops_the_change_before_it_begins(
    cluster: Cluster, as_account: Callable[..., Cluster], namespace: str
) -> None:
    before = Step(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first", "namespace": namespace}}
    )
    plan = planned(cluster, before, greeter(namespace))
    steps = [one.step for one in plan.steps]
    smith = as_account("smith")
    wanted = rights.of_steps(cluster.api, steps) | rights.of_releases(cluster, steps)
    missing = Right("patch", "", "services", namespace)
    may(cluster, "smith", namespace, (wanted | rights.of_journal(smith.api)) - {missing})

    with pytest.raises(Forbidden, match=f"smith may not patch services in {namespace}\\."):
        apply(plan, smith)
    assert cluster.api.get(CONFIGMAP, "first", namespace) is None
    assert Helm(cluster).get(RELEASE, "hi", namespace) is None


def test_a_chart_is_asked_for_before_its_namespace_is_there(cluster: Cluster) -> None:
    asked = rights.of_releases(cluster, [greeter("nowhere")])
    assert Right("create", "", "secrets", "nowhere") in asked
    assert Right("patch", "batch", "jobs", "nowhere") in asked, "hooks are objects too"
    assert Right("create", CRD.group, "customresourcedefinitions", None) in asked
    assert Right("list", "apps", "replicasets", "nowhere") in asked
