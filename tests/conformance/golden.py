"""The golden plans as objects that a real API server takes."""

from __future__ import annotations

from typing import Any

from meshkit.facts import Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step, ordered
from tests.unit.meshes.golden_cases import CASES, PLANNERS, SHOP

OPERATOR = "monitoring.coreos.com"


def steps_of(mesh: str, case: str) -> list[Step]:
    """A golden plan's steps; a chart's release is Helm's to render, and the Prometheus operator's definitions
    are in no part that is built here.
    """
    planned = ordered(PLANNERS[mesh].plan(CASES[case][1], SHOP))
    return [step for step in planned if step.kind != RELEASE and OPERATOR not in step.kind.api_version]


def whole(obj: Object) -> dict[str, Any]:
    """An object of the golden snapshot with the fields that a real server wants too."""
    if obj["kind"] == "Service":
        return dict(obj)
    name = obj["metadata"]["name"]
    template = {
        "metadata": {"labels": {"name": name}},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": {"name": name}}, "template": template}
    meta = {"name": name, "namespace": obj["metadata"]["namespace"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, "spec": spec}
