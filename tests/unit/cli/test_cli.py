"""The command line starts at once, says errors in a sentence, and exits as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from meshkit.cli.app import cli
from meshkit.cli.output import ClusterChoice, cluster_options
from tests.unit.command_line import run


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
        "explain",
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


SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
"""


def test_explain_reads_files_and_exits_with_0_where_the_request_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = tmp_path / "shop.yaml"
    shop.write_text(SHOP)
    asked = ["explain", "-f", str(shop), "--header", "x-user=jason", "--from", "shop/web"]
    assert run(*asked, "web:8080/") == 0
    assert "shop/web -> web.shop.svc.cluster.local:8080, GET /, x-user: jason" in capsys.readouterr().out
    assert run(*asked, "web:8080/", "--json") == 0
    assert json.loads(capsys.readouterr().out)["failures"] == []
    shop.write_text(SHOP.replace("selector: {app: web}", "selector: {app: none}"))
    assert run("explain", "-f", str(shop), "web.shop:8080") == 0
    assert "503: no ready endpoint" in capsys.readouterr().out
    assert run("explain", "-f", str(shop), "web:8080/", "--header", "x-user") == 2


def test_check_reads_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = tmp_path / "shop.yaml"
    shop.write_text(SHOP)
    assert run("check", "-f", str(tmp_path)) == 0
    assert "No problems were found." in capsys.readouterr().out
    shop.write_text(SHOP.replace("name: http", "name: what"))
    assert run("check", "-f", str(shop)) == 0
    assert "port 8080 declares no protocol" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runbook", "show", "instal_control_plane"], "Did you mean 'install_control_plane'?"),
        (["runbook", "run", "install_control_plane", "-p", "mehs=istio"], "Did you mean 'mesh'?"),
        (["runbook", "run", "install_control_plane", "-p", "replicas=many"], "'many' is not a valid int"),
        (["runbook", "run", "install_control_plane", "-p", "replicas"], "Write it as -p name=value"),
        (["runbook", "run", "enforce_mtls", "-f", "no-such.yaml"], "it cannot be read"),
        (["runbook", "run", "mesh_health", "--apply"], "'apply' is not known"),
        (["plan", "-f", "no-such-file.yaml"], "there is no such file"),
        (["release", "run", "-f", "no-such-file.yaml"], "there is no such file"),
        (["upgrade", "status", "--revision", "1.31"], "control_plane.revision: '1.31' is not"),
        (["upgrade", "run", "-f", "no-such-file.yaml"], "there is no such file"),
        (["demo", "--mesh", "consul"], "'consul' is not known"),
        (["demo"], "mesh: none is named"),
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
    (steps,) = (each for each in shown["parameters"] if each["name"] == "steps")
    assert steps["type"] == "list[float]"


def test_completion_offers_commands_and_runbooks() -> None:
    code = "from meshkit.cli.app import cli\nfrom click.shell_completion import ShellComplete\n"
    code += "c = ShellComplete(cli, {}, 'meshkit', '_MESHKIT_COMPLETE')\n"
    code += "print([i.value for i in c.get_completions(['runbook', 'run'], 'in')])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "['install_control_plane']"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_completion_in_the_readme_load_it(shell: str) -> None:
    from click.shell_completion import get_completion_class

    from meshkit.cli.app import cli

    variable = "_MESHKIT_COMPLETE"
    assert f"{variable}={shell}_source meshkit" in (Path(__file__).parents[3] / "README.md").read_text()
    made = get_completion_class(shell)
    assert made is not None
    assert made(cli, {}, "meshkit", variable).source_vars()["complete_var"] == variable


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
    assert run(*plan, "--rps", "10") == 1
    shown = capsys.readouterr()
    assert "MK1603: It cannot pass as written" in shown.out
    assert "The forecast assumes a typical service" in shown.err
    assert run(*plan, "--rps", "10", "--strict", "--json") == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["measured"] is False
    assert facts["findings"][0]["code"] == "MK1603"
    assert facts["findings"][0]["docs"] == "reference/findings.md#mk1603"
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


def kubeconfig(path: Path, *contexts: str) -> str:
    """A kubeconfig whose first context is the current one; nothing answers at its addresses."""
    config = {
        "current-context": contexts[0],
        "clusters": [{"name": c, "cluster": {"server": f"https://127.0.0.1:9/{c}"}} for c in contexts],
        "contexts": [{"name": c, "context": {"cluster": c}} for c in contexts],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "cluster: prod (https://127.0.0.1:9/prod), from $KUBECONFIG"),
        (
            ["--kubeconfig", "{other}"],
            "cluster: test (https://127.0.0.1:9/test), the current-context of {other}",
        ),
        (["--context", "staging"], ""),
        (["--kubeconfig", "{other}", "--context", "qa"], ""),
    ],
)
def test_a_cluster_that_the_options_do_not_name_is_told(
    options: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = kubeconfig(tmp_path / "other", "test", "qa")
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", "prod", "staging"))
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path))
    assert run("undo", "some-change", *(option.format(other=other) for option in options)) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[:-1] == [named.format(other=other)] * bool(named)
    assert "does not answer" in said[-1]


def test_a_list_in_json_names_its_cluster_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = kubeconfig(tmp_path / "config", "prod")
    assert run("history", "--kubeconfig", config, "--context", "prod", "--json") == 1
    assert capsys.readouterr().err.startswith("cluster: prod (https://127.0.0.1:9/prod)\n")


def test_a_runbook_without_a_cluster_gets_the_one_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    out = str(tmp_path / "out")
    assert run("runbook", "run", "mesh_health", "--out", out) == 2
    assert "$KUBECONFIG: there is no file" in capsys.readouterr().err
    assert not Path(out).exists()
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", "prod"))
    assert run("runbook", "run", "mesh_health", "--out", out, "--json") == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == "cluster: prod (https://127.0.0.1:9/prod), from $KUBECONFIG"
    where = {"context": "prod", "server": "https://127.0.0.1:9/prod"}
    assert json.loads(shown.out)["cluster"] == where
    assert "on cluster prod (https://127.0.0.1:9/prod)" in (tmp_path / "out" / "mesh_health.html").read_text()
    assert 'value="prod (https://127.0.0.1:9/prod)"' in (tmp_path / "out" / "mesh_health.xml").read_text()


def test_every_command_takes_its_cluster_as_one_value() -> None:
    @click.command()
    @cluster_options
    def command(choice: ClusterChoice) -> ClusterChoice:
        return choice

    chosen = command.main(["--context", "a", "--kubeconfig", "b"], standalone_mode=False)
    assert chosen == ClusterChoice("a", "b")
    assert chosen.words == " --kubeconfig b --context a"
    assert not command.main([], standalone_mode=False).explicit


def test_every_command_that_meets_a_cluster_can_be_told_which() -> None:
    with_options, without = set(), set()

    def walk(group: click.Group, path: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                walk(command, f"{path}{name} ")
            else:
                known = {parameter.name for parameter in command.params}
                (with_options if {"kubeconfig", "context"} <= known else without).add(f"{path}{name}")

    walk(cli, "")
    assert {"check", "plan", "apply", "history", "undo", "rehearse", "uninstall"} <= with_options
    assert {f"release {verb}" for verb in ("run", "forecast", "status", "hold", "rollback")} <= with_options
    assert {f"setup {verb}" for verb in ("status", "plan", "apply", "undo")} <= with_options
    assert {f"upgrade {verb}" for verb in ("status", "run", "back")} <= with_options
    here = {
        "rights",
        "demo",
        "lab",
        "doctor",
        "init",
        "schema",
        "observability",
        "runbook list",
        "runbook show",
        "runbook run",
        "experiment compare",
    }
    assert {name for name in without if not name.startswith("sandbox ")} == here


def test_no_placeholder_is_listed_for_a_command_that_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("audit", "verify", "release.json") == 2
    assert "No such command 'audit'" in capsys.readouterr().err
    assert run("--help") == 0
    assert "audit" not in capsys.readouterr().out


def number_options() -> Iterator[tuple[str, click.Parameter]]:
    """Every option of every command that takes a number with a fraction."""
    todo: list[tuple[str, click.Command]] = [("meshkit", cli)]
    while todo:
        name, command = todo.pop()
        if isinstance(command, click.Group):
            todo += [(f"{name} {each}", found) for each, found in command.commands.items()]
        yield from (
            (f"{name} {each.opts[0]}", each)
            for each in command.params
            if isinstance(each.type, click.types.FloatParamType)
        )


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e400"])
def test_no_option_takes_what_is_no_number(text: str) -> None:
    options = list(number_options())
    assert len(options) > 10
    for _, option in options:
        with pytest.raises(click.BadParameter):
            option.type.convert(text, option, None)
