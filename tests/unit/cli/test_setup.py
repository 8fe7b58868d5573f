"""``meshkit setup`` takes the intents of a stage from a file or from options, instead of its proposal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cli import setup as cli
from meshkit.cli.app import main
from meshkit.cli.output import ClusterChoice
from meshkit.cli.setup import _intents
from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import ClusterRef
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.operations.plan import Change

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


@pytest.mark.parametrize(("options", "code"), [((), ManualActionRequired.exit_code), (("--force",), 0)])
def test_refused_callers_are_accepted_with_force_alone(
    options: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message of a refusal names is an option of the command."""
    applied: list[bool] = []

    def refuse(*_: object) -> None:
        raise ManualActionRequired("Calls may be refused.", remedy="Continue with --force.")

    def apply(stage: str, plan: Any, *, progress: object, force: bool) -> Change:
        applied.append(force)
        return Change("", "Mutual TLS", 0, ClusterRef("c", "https://c"))

    setup = SimpleNamespace(
        mesh="istio",
        watch=lambda window_s: None,
        plan=lambda stage, *intents, look: SimpleNamespace(empty=True),
        require_safe=refuse,
        apply=apply,
    )
    monkeypatch.setattr(cli, "_setup", lambda *_: setup)
    monkeypatch.setattr(ClusterChoice, "connect", lambda choice: None)
    file = tmp_path / "strict.yaml"
    file.write_text("kind: MutualTLS\nnamespace: shop\nmode: strict\n")
    with pytest.raises(SystemExit) as ended:
        main(["setup", "apply", "mutual-tls", "-f", str(file), *options])
    assert ended.value.code == code
    assert applied == [True] * (code == 0)
