"""A plan as YAML for a Git repository: every object once, in order, and no secret in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.intent.mesh import ControlPlane
from meshkit.kube.kinds import DEPLOYMENT
from meshkit.kube.metadata import identity
from meshkit.kube.steps import RESTART_MANAGER, Step, ordered
from meshkit.meshes.ownership import deletion_step
from meshkit.operations.plan import Plan
from tests.unit.meshes.golden_cases import CASES, PLANNERS, SHOP, deployment


def plan_of(steps: Sequence[Step], pending: Sequence[Step] | None = None) -> Plan:
    """A plan of steps; without ``pending``, all of their objects are as desired."""
    planned = tuple(PlannedStep(step, "create") for step in pending or ())
    return Plan("Test", "istio", "prod", "https://prod:6443", planned, wanted=tuple(steps))


def read(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "a"},
        "data": data,
    }


@pytest.mark.parametrize(
    ("mesh", "case"),
    [(mesh, case) for case, (meshes, _) in CASES.items() for mesh in meshes],
)
def test_every_golden_plan_has_each_object_once_and_in_order(mesh: str, case: str) -> None:
    steps = ordered(PLANNERS[mesh].plan(CASES[case][1], SHOP))
    found = read(plan_of(steps).yaml)
    written = [
        identity(step.object)
        for step in steps
        if not step.removed
        and step.manager != RESTART_MANAGER
        and step.kind.kind not in ("Release", "Secret")
    ]
    assert [identity(each) for each in found] == list(dict.fromkeys(written))
    last = {identity(step.object): step.object for step in steps if not step.partial and not step.removed}
    for each in found:
        assert identity(each) not in last or each == yaml.safe_load(
            yaml.safe_dump(plain(last[identity(each)]))
        )


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_parts_of_one_object_are_one_document() -> None:
    label = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}}
    note = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "annotations": {"c": "d"}}}
    text = plan_of(
        [Step(label, manager="meshkit-x", partial=True), Step(note, manager="meshkit-y", partial=True)]
    ).yaml
    assert read(text) == [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        }
    ]
    assert "others own this object" in text


def test_what_is_written_twice_is_written_as_it_is_at_last() -> None:
    first, last = config_map("one", a="1", b="2"), config_map("one", b="2")
    assert read(plan_of([Step(first), Step(config_map("two")), Step(last)]).yaml) == [last, config_map("two")]


def test_secrets_are_named_and_never_written() -> None:
    text = plan_of(secret_steps()).yaml
    assert "PRIVATE KEY" not in text
    assert "LS0t" not in text
    assert "# Secret linkerd/keys is not written" in text
    assert all(each["kind"] != "Secret" for each in read(text))


def secret_steps() -> list[Step]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys", "namespace": "linkerd"},
        "data": {"tls.key": "LS0tLS1CRUdJTg=="},
        "stringData": {"key": "-----BEGIN PRIVATE KEY-----"},
    }
    return [Step(secret), Step(config_map("beside"))]


def test_a_chart_is_a_comment_with_version_and_values_but_no_secret() -> None:
    values = {"global": {"logAsJson": True}, "registry": {"password": "hunter2"}, "tls": {"keyPEM": "abc"}}
    intent = ControlPlane(charts="published", values=values)
    text = plan_of(PLANNERS["istio"].plan(intent, SHOP)).yaml
    assert "# Helm release istio-system/istiod" in text
    assert "# chart: istiod" in text
    assert "#     logAsJson: true" in text
    assert "hunter2" not in text
    assert "abc" not in text
    assert all(each["kind"] != "Release" for each in read(text))


def test_removals_and_restarts_are_told() -> None:
    gone = deletion_step(config_map("old"))
    absent = deletion_step(config_map("absent"))
    restart = Step(
        {**deployment("web"), "apiVersion": DEPLOYMENT.api_version}, manager=RESTART_MANAGER, partial=True
    )
    text = plan_of([Step(config_map("old")), gone, absent, restart], pending=[gone, restart]).yaml
    assert read(text) == []
    assert "# removed: ConfigMap a/old" in text
    assert "absent" not in text
    assert "# restarted, which is no state to declare: Deployment shop/web" in text
