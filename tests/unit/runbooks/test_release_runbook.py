"""The runbook ``release`` takes what the file of a release takes, and without ``apply`` changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import meshkit as mk
from meshkit.intent.release import Release
from meshkit.runbooks.catalogue import load_runbook
from tests.unit.release.stage import Stage

GIVEN: dict[str, Any] = {
    "gates": [50.0, 100.0],
    "gate_by": "webhook",
    "gate_webhook": "approvals/address",
    "gate_expires_s": 600.0,
    "gate_at_expiry": "rollback",
    "notify": "hook",
    "on_harm": "freeze",
    "testers": ["x-tester: yes"],
    "cohort": ["x-group:b=c"],
    "mirror_percent": 20.0,
    "confidence": 0.99,
    "error_percent": 1.0,
    "slower_percent": 5.0,
    "slower_than_ms": 300.0,
}


def walked(stage: Stage, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, Any]:
    """Run the cells of the runbook in order on a cluster of the test; return their names."""
    monkeypatch.setattr(mk, "connect", lambda **_: stage.cluster)
    names: dict[str, Any] = {}
    for cell in json.loads(load_runbook("release").path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                assert given.keys() <= names.keys()
                names.update(given)
    return names


def test_gates_notices_and_all_other_settings_are_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    names = walked(Stage(), monkeypatch, **GIVEN)
    gate = {"by": "webhook", "expires_s": 600, "at_expiry": "rollback"}
    gate["webhook"] = {"name": "approvals", "key": "address"}
    asked = Release(
        name="web-v2",
        namespace="shop",
        service="web",
        port=8080,
        stable="v1",
        canary="v2",
        steps=(1, 5, 25, 50, 100),
        gates=[{**gate, "name": "before-50", "before": 50}, {**gate, "name": "before-100", "before": 100}],
        notify={"name": "hook", "key": "url"},
        on_harm="freeze",
        testers={"headers": {"x-tester": "yes"}},
        cohort={"headers": {"x-group": "b=c"}},
        mirror={"percent": 20},
        margins={"confidence": 0.99},
        objectives={"error_percent": 1, "slower_percent": 5, "slower_than_ms": 300},
    )
    assert names["release"] == asked


def test_the_defaults_are_those_of_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    assert walked(Stage(), monkeypatch)["release"] == Release(**common, stable="v1", canary="v2")


def test_every_setting_of_a_release_is_a_parameter() -> None:
    nested = {"margins", "objectives", "mirror"}
    parameters = {parameter.name for parameter in load_runbook("release").parameters}
    assert set(Release.model_fields) - nested <= parameters


def test_a_file_replaces_the_parameters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(gates=[{"name": "approval", "before": 50, "by": "file", "file": "/run/go"}])
    path = tmp_path / "release.yaml"
    path.write_text(mk.dump_intents([stage.release]))
    assert walked(stage, monkeypatch, file=str(path))["release"] == stage.release


def test_without_apply_it_shows_the_plan_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    before = json.dumps(sorted(map(str, stage.fake.api.objects.items())))
    names = walked(stage, monkeypatch, gates=[50.0], notify="hook")
    assert "before-50" in str(names["plan"])
    assert names["outcome"] == "Dry run: nothing was changed."
    assert json.dumps(sorted(map(str, stage.fake.api.objects.items()))) == before
