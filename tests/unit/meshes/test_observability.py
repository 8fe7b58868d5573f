"""The objects of an Observability intent: scraping, rules, and what a mesh does not support."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Snapshot
from meshkit.intent.observability import Alerts, Observability, Tracing
from meshkit.kube.steps import Step
from meshkit.meshes.istio import observability as istio_observability
from meshkit.meshes.linkerd import observability as linkerd_observability
from meshkit.meshes.monitoring.dashboard import dashboard
from meshkit.meshes.monitoring.rules import groups
from meshkit.meshes.monitoring.signals import Signals
from meshkit.meshes.registry import MESHES
from meshkit.operations.observability import observability_files

SIGNALS = {"istio": istio_observability.SIGNALS, "linkerd": linkerd_observability.SIGNALS}
each_mesh = pytest.mark.parametrize("mesh", SIGNALS)


def plan(mesh: str, intent: Observability, *objects: dict[str, Any]) -> tuple[Step, ...]:
    return MESHES[mesh].planner.plan(intent, Snapshot(objects))


def definition(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}.monitoring.coreos.com"},
    }


def named(kind: str, name: str, namespace: str | None = None, **fields: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "annotations": fields.pop("annotations", {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **fields}


@each_mesh
def test_the_operators_kinds_are_used_where_the_cluster_has_them(mesh: str) -> None:
    kinds = [step.kind.kind for step in plan(mesh, Observability())]
    assert kinds == ["ConfigMap", "ConfigMap"]
    both = definition("podmonitors"), definition("prometheusrules")
    found = [step.kind.kind for step in plan(mesh, Observability(), *both)]
    assert found == ["PodMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"]
    assert len(plan(mesh, Observability(), both[0])) == 2
    assert len(plan(mesh, Observability(operator=False), *both)) == 2


@each_mesh
def test_both_forms_keep_and_name_the_same_targets(mesh: str) -> None:
    monitors = plan(mesh, Observability(operator=True))[:2]
    jobs = yaml.safe_load(observability_files(Observability(), mesh=mesh)["scrape.yaml"])["scrape_configs"]
    for monitor, job in zip(monitors, jobs, strict=True):
        endpoint = monitor.object["spec"]["podMetricsEndpoints"][0]
        assert (monitor.name, endpoint["path"]) == (job["job_name"], job["metrics_path"])
        assert snake(endpoint["relabelings"]) == job["relabel_configs"]
        assert snake(endpoint.get("metricRelabelings", [])) == job.get("metric_relabel_configs", [])


def snake(relabelings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return [{names.get(key, key): value for key, value in each.items()} for each in relabelings]


@each_mesh
def test_a_mesh_is_read_where_releases_are_judged(mesh: str) -> None:
    """The same metrics, the same side, the same failures as the observer's table."""
    signals, table = SIGNALS[mesh], MESHES[mesh].metrics
    side = [f'{name}="{value}"' for name, value in table.where.items() if "{" not in value]
    for selector in (signals.requests, *signals.failures):
        assert selector.startswith(table.requests + "{")
        assert all(label in selector for label in side)
    assert signals.latency_ms.startswith(f"{table.latency}_bucket{{")
    asked = [re.findall(r'(\w+)=~?"([^"]*)"', selector) for selector in signals.failures]
    for label, value in (pair for pairs in asked for pair in pairs if pair[0] in table.failed):
        assert value == table.failed[label]


@each_mesh
def test_the_dashboard_asks_for_what_the_rules_record(mesh: str) -> None:
    recorded = {rule["record"] for rule in rules(SIGNALS[mesh]) if "record" in rule}
    page = json.loads(dashboard(SIGNALS[mesh]))
    asked = [target["expr"] for panel in page["panels"] for target in panel["targets"]]
    levels = {found for expr in asked for found in re.findall(r"\w+(?::\w+){2}", expr)}
    assert levels <= recorded
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in page["panels"]}) == len(
        page["panels"]
    )


def rules(signals: Signals, **alerts: Any) -> list[dict[str, Any]]:
    return [rule for group in groups(signals, Alerts(**alerts)) for rule in group["rules"]]


@each_mesh
def test_thresholds_are_the_intents_own(mesh: str) -> None:
    told = rules(SIGNALS[mesh], error_percent=2.5, p99_ms=250, certificate_days=30)
    exprs = {rule["alert"]: rule["expr"] for rule in reversed(told) if "alert" in rule}
    assert "> 0.025 and" in exprs["MeshServiceFailing"]
    assert "> 250 and" in exprs["MeshServiceSlow"]
    assert exprs["MeshAuthorityExpiring"].endswith(f"< {30 * 86400}")


def test_only_a_mesh_that_counts_refused_configurations_has_an_alert_for_them() -> None:
    alerts = {mesh: {rule.get("alert") for rule in rules(signals)} for mesh, signals in SIGNALS.items()}
    assert "MeshConfigRejected" in alerts["istio"] - alerts["linkerd"]


def test_istiod_obeys_one_telemetry_of_the_whole_mesh_only() -> None:
    wanted = Observability(access_log="all")
    other = named("Telemetry", "theirs", "istio-system", spec={"tracing": []})
    with pytest.raises(BadInput, match="istio-system/theirs already applies to the whole mesh"):
        plan("istio", wanted, other)
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    selective = named("Telemetry", "theirs", "istio-system", spec=spec)
    assert plan("istio", wanted, selective)[-1].name == "mesh-default"
    assert plan("istio", Observability(), other)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tracing": Tracing(percent=1, provider="collector")}, "observability.tracing"),
        ({"access_log": "errors"}, "observability.access_log: errors"),
    ],
)
def test_linkerd_refuses_what_its_proxies_cannot_do(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedByMesh) as raised:
        plan("linkerd", Observability(**fields))
    assert raised.value.field == field


def test_linkerd_logs_in_new_pods_so_those_that_do_not_are_restarted() -> None:
    with pytest.raises(BadInput, match="no namespace has Linkerd's injection enabled"):
        plan("linkerd", Observability(access_log="all"))
    shop = named("Namespace", "shop", annotations={"linkerd.io/inject": "enabled"})
    cluster = [shop, *workload("silent"), *workload("logging", "json")]
    steps = plan("linkerd", Observability(access_log="all"), *cluster)
    assert [step.title for step in steps[2:]] == ["Namespace shop", "Deployment shop/silent"]
    back = plan("linkerd", Observability(access_log="none"), *cluster)
    assert [step.title for step in back[2:]] == ["Namespace shop", "Deployment shop/logging"]


def workload(name: str, logs: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    notes = {"config.linkerd.io/access-log": logs} if logs else {}
    pod = named("Pod", f"{name}-1", "shop", annotations=notes)
    pod["metadata"]["labels"] = {"name": name}
    pod["spec"] = {"containers": [{"name": "linkerd-proxy"}]}
    spec = {"selector": {"matchLabels": {"name": name}}, "template": {}}
    return {**named("Deployment", name, "shop"), "apiVersion": "apps/v1", "spec": spec}, pod
