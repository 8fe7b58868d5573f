"""Commands to a release tell whether a process runs it, and refuse a release that has ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meshkit.cli.releases import drawing
from meshkit.cluster import connect as connecting
from meshkit.cluster.lock import Lock
from meshkit.facts import Coverage
from meshkit.views.release import release_html
from tests.unit.command_line import run
from tests.unit.release.stage import Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(connecting, "connect", lambda **_: stage.cluster)
    return stage


@pytest.fixture
def file(tmp_path: Path, stage: Stage) -> str:
    path = tmp_path / "release.yaml"
    path.write_text(json.dumps({"kind": "Release", **stage.release.model_dump(mode="json")}))
    return str(path)


def test_a_command_without_a_runner_is_stored_and_says_what_to_do(
    stage: Stage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = stage.run_until_killed(lambda state: state.step == 0)
    assert run("release", "rollback", "-f", file) == 3
    shown = capsys.readouterr().out
    assert "Stored rollback for release web-v2" in shown
    assert "No process runs this release" in shown
    assert f"meshkit undo {state.change_id}" in shown
    assert run("release", "status", "-f", file) == 0
    assert "No process runs this release" in capsys.readouterr().out
    assert stage.run().result == "rolled_back", "the next runner carries the command out"


def test_a_release_that_has_ended_takes_no_command(
    stage: Stage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    assert run("release", "hold", "-f", file) == 2
    assert "release web-v2 has ended: promoted." in capsys.readouterr().err
    assert run("release", "status", "-f", file) == 0
    assert "No process" not in capsys.readouterr().out


def test_a_runner_is_named(stage: Stage, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    stage.run(lambda _: None if codes else codes.append(run("release", "rollback", "-f", file, "--json")))
    assert codes == [0]
    assert json.loads(capsys.readouterr().out)["runner"]


def test_a_name_is_enough_and_none_means_the_only_release_that_runs(
    stage: Stage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("release", "hold") == 2
    assert "no release runs" in capsys.readouterr().err
    stage.run_until_killed(lambda state: state.step == 0)
    assert run("release", "hold") == 3
    assert "Stored hold for release web-v2" in capsys.readouterr().out
    assert run("release", "hold", "web-v2", "-f", file) == 2
    assert "name the release twice" in capsys.readouterr().err
    assert run("release", "status", "web-v3") == 2
    assert "Did you mean 'web-v2'?" in capsys.readouterr().err


def test_a_gate_is_drawn_and_opened_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(gates=[{"name": "approval", "before": 10}, {"name": "last"}], look_s=3)
    monkeypatch.setattr(connecting, "connect", lambda **_: stage.cluster)
    stage.run_until_killed(lambda state: state.status == "waiting")
    assert run("release", "status", "web-v2") == 0
    shown = capsys.readouterr().out
    assert "waiting at 0.5 %" in shown
    assert "the deadline waits for the gate" in shown
    assert "gate    approval before 10 %, by command: waited for since " in shown
    assert "gate    last before 100 %, by command: not reached" in shown
    assert run("release", "approve", "web-v2", "--gate", "last") == 2
    assert "gate last is not waited for" in capsys.readouterr().err
    assert run("release", "approve", "--why", "looked") == 3
    assert "Stored the approval of gate approval for release web-v2" in capsys.readouterr().out
    stage.run_until_killed(lambda state: state.step == 1)
    assert run("release", "status", "web-v2", "--json") == 0
    (gate,) = json.loads(capsys.readouterr().out)["gates"]
    assert (gate["gate"], gate["answer"], gate["who"], gate["why"]) == (
        "approval",
        "approved",
        "ana",
        "looked",
    )


def test_the_state_is_drawn_without_control_characters(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run_until_killed(lambda state: state.step == 1)
    assert run("release", "status") == 0
    shown = capsys.readouterr().out
    assert "share   [####....................................] 10 % for v2" in shown
    assert "ladder  [x] 0.5 %  [>] 10 %  [ ] 50 %  [ ] 100 %" in shown
    assert "harm " in shown
    assert "time    running " in shown
    assert ", at least " in shown
    assert "runner  none" in shown
    assert "\x1b" not in shown
    assert shown.isascii()


def test_the_state_says_how_many_proxies_were_asked(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    state = stage.run_until_killed(lambda state: state.step == 1)
    assert run("release", "status") == 0
    assert "metrics " not in capsys.readouterr().out, "the observer of this stage asks no proxy"
    look = replace(state.looks[-1].look, coverage=Coverage(900, 14, 13))
    asked = replace(state, looks=(*state.looks, replace(state.looks[-1], look=look)))
    told = "14 of 900 proxies asked, 13 answered"
    assert f"metrics {told}" in drawing.status(asked, stage.cluster.ref, None, 1e9)
    assert told in str(release_html.details(asked))


def test_watching_ends_with_the_release_and_prints_no_control_characters(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    assert run("release", "status", "web-v2", "--watch", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["ended"], shown["asked_percent"]) == ("promoted", True, 100)
    assert run("release", "status", "web-v2", "--watch") == 0
    shown_text = capsys.readouterr().out
    assert "[x] 100 %" in shown_text
    assert "\x1b" not in shown_text


def test_releases_are_listed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("release", "list") == 0
    assert "No release was ever started" in capsys.readouterr().out
    stage.run()
    assert run("release", "list") == 0
    shown = capsys.readouterr().out
    assert "web-v2" in shown
    assert "shop/web:8080" in shown
    assert "promoted" in shown
    assert run("release", "list", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["name"], one["state"], one["percent"], one["who"]) == ("web-v2", "promoted", 100, "ana")
    assert run("release", "status") == 0
    assert "Name one release" in capsys.readouterr().out


def test_a_promoted_release_is_rolled_back_with_its_undo(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    assert run("release", "rollback", "web-v2") == 4
    assert "has no ready pod" in capsys.readouterr().err
    assert run("release", "rollback", "web-v2", "--force") == 0
    shown = capsys.readouterr().out
    assert "v1 0 -> 100, v2 100 -> 0" in shown
    assert "Undo it with: meshkit undo " in shown
    assert stage.fake.weights() == (100, 0)
    assert run("release", "rollback", "web-v2") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_release_whose_process_has_died_is_ended_by_force(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run_until_killed(lambda state: state.step == 1)
    assert run("release", "rollback", "web-v2") == 3
    assert "`meshkit release rollback web-v2 --force`" in capsys.readouterr().out
    assert run("release", "rollback", "web-v2", "--force") == 0
    assert stage.fake.weights() == (100, 0)


def test_force_waits_until_the_lease_of_a_killed_process_has_expired(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until then it could be alive, and a command would only be stored."""
    stage.run_until_killed(lambda state: state.step == 1)
    Lock(stage.cluster, "release-shop-web").acquire(1.0)
    assert run("release", "rollback", "web-v2", "--force") == 0
    assert stage.fake.weights() == (100, 0)
    assert "1 step done" in capsys.readouterr().out
    assert stage.state.ended


def test_evidence_is_exported_and_a_changed_byte_is_an_error(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    bundle = tmp_path / "bundle.json"
    assert run("evidence", "export", "web-v2", "-o", str(bundle)) == 0
    assert run("evidence", "verify", str(bundle)) == 0
    assert "the evidence is intact" in capsys.readouterr().out
    assert run("evidence", "verify", str(bundle), "--context", "fake", "--json") == 0
    assert json.loads(capsys.readouterr().out)["compared"].startswith("The records are those in the journal")
    intact = bundle.read_bytes()
    for place, changed in ((b'"who":"ana"', b'"who":"an\xff"'), (b"\n", b"\r")):
        bundle.write_bytes(intact.replace(place, changed, 1))
        assert run("evidence", "verify", str(bundle)) == 1
    assert "is not as it was exported" in capsys.readouterr().out
