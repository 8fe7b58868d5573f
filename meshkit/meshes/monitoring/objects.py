"""Scraping, rules and dashboard as objects of the Prometheus operator, or as files in ConfigMaps."""

from __future__ import annotations

from typing import Any

import yaml

from meshkit.facts import Kind, Need, Snapshot
from meshkit.intent.observability import Observability
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes.monitoring.dashboard import dashboard
from meshkit.meshes.monitoring.rules import groups
from meshkit.meshes.monitoring.signals import Signals

DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
RULE = Kind("monitoring.coreos.com/v1", "PrometheusRule")
SCRAPE_FILE, RULES_FILE, DASHBOARD_FILE = "scrape.yaml", "rules.yaml", "dashboard.json"
_OPERATORS = ("podmonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com")
_SIDECAR_LABEL = {"grafana_dashboard": "1"}
"""The label by which the sidecar of Grafana's chart finds dashboards."""


def needs(intent: Observability) -> tuple[Need, ...]:
    """The CustomResourceDefinitions of the cluster, unless the intent sets the kind of scraping."""
    return (Need(DEFINITION),) if intent.operator is None else ()


def steps(intent: Observability, signals: Signals, namespace: str, snapshot: Snapshot) -> list[Step]:
    """The steps that set up observability of a mesh. ``namespace`` is the mesh's own."""
    home = intent.namespace or namespace
    name = f"meshkit-{signals.mesh}"
    rule_groups = groups(signals, intent.alerts)
    jobs = (signals.proxies, signals.control_plane)
    by_operator = _has_operator(snapshot) if intent.operator is None else intent.operator
    if by_operator:
        made = [job.monitor(home, intent.labels, intent.interval_s) for job in jobs]
        made.append(obj(RULE, name, home, labels=intent.labels, spec={"groups": rule_groups}))
    else:
        configs = {"scrape_configs": [job.config(intent.interval_s) for job in jobs]}
        files = {SCRAPE_FILE: _text(configs), RULES_FILE: _text({"groups": rule_groups})}
        made = [obj(CONFIG_MAP, f"{name}-prometheus", home, labels=intent.labels, data=files)]
    page = {DASHBOARD_FILE.replace("dashboard", name): dashboard(signals)}
    made.append(obj(CONFIG_MAP, f"{name}-dashboard", home, labels=_SIDECAR_LABEL, data=page))
    return [Step(each) for each in made]


def _has_operator(snapshot: Snapshot) -> bool:
    """Whether the cluster has the kinds of the Prometheus operator."""
    return all(snapshot.find(DEFINITION.kind, name) for name in _OPERATORS)


def _text(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=110)
