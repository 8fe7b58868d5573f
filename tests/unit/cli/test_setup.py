"""``meshkit setup`` takes the intents of a stage from a file or from options, instead of its proposal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cli.setup import _intents
from meshkit.errors import BadInput
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane

NOTHING = {"file": "", "charts": "", "values": "", "version": "", "untested": False}


def asked(proposal: Intent, **given: Any) -> tuple[Intent, ...]:
    setup = SimpleNamespace(propose=lambda stage, look: proposal)
    return _intents(cast(Any, setup), "control-plane", cast(Any, None), **{**NOTHING, **given})


def test_without_options_the_proposal_stands() -> None:
    assert asked(ControlPlane()) == ()


def test_options_come_over_the_proposal(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("global: {hub: registry.example/istio}\n")
    assert asked(ControlPlane(charts="published"), values=str(values), version="1.31.2") == (
        ControlPlane(
            charts="published", version="1.31.2", values={"global": {"hub": "registry.example/istio"}}
        ),
    )


def test_options_come_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("kind: ControlPlane\nreplicas: 2\nzones: 2\n")
    (found,) = asked(ControlPlane(), file=str(file), charts="./charts", untested=True)
    assert found == ControlPlane(replicas=2, zones=2, charts="./charts", untested=True)


def test_options_of_the_control_plane_belong_to_no_other_stage() -> None:
    with pytest.raises(BadInput, match="--charts: only the stage control-plane has it"):
        asked(Injection(namespace="shop"), charts="published")
