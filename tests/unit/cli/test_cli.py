"""The command line starts at once, says errors in a sentence, and exits as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshkit.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["runbook", "list"], ["doctor"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]) -> None:
    heavy = ("kubernetes", "plotly", "papermill", "pydantic", "aiohttp", "ipywidgets")
    code = f"import sys\nfrom meshkit.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass\n"
    code += f"print([m for m in {heavy!r} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_every_command_of_the_design_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for verb in (
        "demo",
        "lab",
        "sandbox",
        "check",
        "plan",
        "apply",
        "history",
        "undo",
        "release",
        "setup",
        "upgrade",
        "runbook",
        "doctor",
    ):
        assert f"  {verb} " in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runbook", "show", "instal_control_plane"], "Did you mean 'install_control_plane'?"),
        (["runbook", "run", "install_control_plane", "-p", "mehs=istio"], "Did you mean 'mesh'?"),
        (["runbook", "run", "install_control_plane", "-p", "replicas=many"], "'many' is no int"),
        (["runbook", "run", "install_control_plane", "-p", "replicas"], "Write it as -p name=value"),
        (["runbook", "run", "enforce_mtls", "-f", "no-such.yaml"], "it cannot be read"),
        (["runbook", "run", "release", "--apply"], "'apply' is not known"),
        (["plan", "-f", "no-such-file.yaml"], "there is no such file"),
        (["release", "run", "-f", "no-such-file.yaml"], "there is no such file"),
        (["upgrade", "status", "--revision", "1.31"], "control_plane.revision: '1.31' is not"),
        (["upgrade", "run", "-f", "no-such-file.yaml"], "there is no such file"),
        (["evidence", "verify", "release.json"], "meshkit evidence: this verb is not there yet"),
        (["demo", "--mesh", "consul"], "'consul' is not known"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_an_error_is_json_when_json_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runbook", "show", "no_such", "--json") == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_an_unknown_command_is_exit_code_2() -> None:
    assert run("no-such-command") == 2


def test_runbook_show_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runbook", "show", "release", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert {"name": "steps", "type": "list[float]"}.items() <= shown["parameters"][10].items()


def test_completion_offers_commands_and_runbooks() -> None:
    code = "from meshkit.cli.app import cli\nfrom click.shell_completion import ShellComplete\n"
    code += "c = ShellComplete(cli, {}, 'meshkit', '_MESHKIT_COMPLETE')\n"
    code += "print([i.value for i in c.get_completions(['runbook', 'run'], 'in')])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "['install_control_plane']"


RELEASE = """kind: Release
name: web-v2
namespace: shop
service: web
port: 8080
stable: v1
canary: v2
"""


def test_release_forecast_without_a_cluster_says_how_long_and_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    file = tmp_path / "release.yaml"
    file.write_text(RELEASE)
    plan = ["release", "forecast", "-f", str(file)]
    assert run(*plan) == 2
    capsys.readouterr()
    assert run(*plan, "--rps", "1000", "--strict") == 0
    assert "promoted after 20:00" in capsys.readouterr().out
    assert run(*plan, "--rps", "10") == 0
    shown = capsys.readouterr()
    assert "MK0603: It cannot pass as written" in shown.out
    assert "A usual service is assumed" in shown.err
    assert run(*plan, "--rps", "10", "--strict", "--json") == 5
    facts = json.loads(capsys.readouterr().out)
    assert facts["measured"] is False
    assert facts["findings"][0]["code"] == "MK0603"
    assert run(*plan, "--rps", "-1") == 2


def test_release_forecast_assumes_nothing_where_a_prometheus_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("MESHKIT_PROMETHEUS", "")
    file = tmp_path / "release.yaml"
    file.write_text(RELEASE)
    asked = ["release", "forecast", "-f", str(file), "--rps", "10", "--prometheus", "http://127.0.0.1:9"]
    assert run(*asked) == 2
    assert "usual service" not in capsys.readouterr().err
