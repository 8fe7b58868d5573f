"""``meshkit observability`` writes what Prometheus and Grafana read, or nothing and says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from meshkit.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["observability", *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_the_files_are_written_without_a_cluster(
    mesh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    wanted = tmp_path / "mesh.yaml"
    wanted.write_text("kind: Observability\nalerts: {p99_ms: 123}\naccess_log: all\n")
    folder = tmp_path / "new" / "folder"
    assert run("-f", str(wanted), "--mesh", mesh, "--to", str(folder), "--json") == 0
    names = {Path(path).name for path in json.loads(capsys.readouterr().out)["files"]}
    assert names == {"scrape.yaml", "rules.yaml", f"meshkit-{mesh}.json"}
    assert "> 123 and" in (folder / "rules.yaml").read_text()
    assert len(yaml.safe_load((folder / "scrape.yaml").read_text())["scrape_configs"]) == 2
    assert json.loads((folder / f"meshkit-{mesh}.json").read_text())["panels"]


def test_what_is_no_such_intent_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tmp_path / "mesh.yaml"
    wanted.write_text("kind: MutualTLS\nmode: strict\n")
    assert run("-f", str(wanted), "--to", str(tmp_path / "out")) == 2
    assert "0 documents of kind: Observability" in capsys.readouterr().err
    wanted.write_text("kind: Observability\naccess_log: some\n")
    assert run("-f", str(wanted), "--to", str(tmp_path / "out")) == 2
    assert "line 2: observability.access_log" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_cluster_the_mesh_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--to", str(tmp_path / "out")) == 2
    assert "mesh: none is named" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
