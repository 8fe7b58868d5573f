"""A secret is passed by reference, reaches the runbook as a file, and is in no output."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from nbformat import v4

from meshkit.cluster.connect import connect
from meshkit.errors import BadInput
from meshkit.kube.redaction import REDACTED
from meshkit.runbooks.execution import run_runbook
from meshkit.runbooks.secrets import resolved
from meshkit.testing import Sandbox
from tests.unit.runbooks.notebooks import write_runbook

PLANTED = "pl4nted-<s3cret>&-value"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.cGxhbnRlZA.c2lnbmF0dXJl"
KUBECONFIG = f"apiVersion: v1\nusers:\n- name: ci\n  user: {{token: {TOKEN} }}\n"
LEAKS = (
    "import base64, html\n"
    "value = open(word).read()\n"
    "print('plain', value, repr(value), base64.b64encode(value.encode()).decode())\n"
    "from IPython.display import HTML, display\n"
    "display(HTML('<p>' + html.escape(value) + '</p>'))\n"
    "display({'application/json': {'deep': [value]}, 'text/plain': 'json'}, raw=True)\n"
)


def holding(folder: Path, value: str) -> list[str]:
    """The files below a folder that hold a value, as it is or encoded."""
    forms = {value, base64.b64encode(value.encode()).decode(), value.replace("&", "&amp;")}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(form in path.read_text() for form in forms)]


@pytest.mark.parametrize("ending", ["print('end')", "raise ValueError(value)"])
def test_no_file_of_a_run_holds_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("PLANTED", PLANTED)
    runbook = write_runbook(tmp_path, LEAKS, ending)
    result = run_runbook(runbook, {"word": "secret:env:PLANTED"}, out=tmp_path / "out")
    assert result.cell == (3 if ending.startswith("raise") else None)
    assert holding(tmp_path / "out", PLANTED) == []
    assert holding(tmp_path / "out", "pl4nted") == []
    assert PLANTED not in str(result)
    executed = result.notebook.read_text()
    assert f"plain {REDACTED}" in executed
    assert "secret:env:PLANTED" in result.report.read_text()


def test_while_it_runs_it_is_a_file_of_this_user_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with resolved({"token": f"secret:file:{tmp_path}/token", "replicas": 3}) as (given, redaction):
        path = Path(given["token"])
        assert path.read_text() == TOKEN
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert given["replicas"] == 3
        assert redaction.text(f"Bearer {TOKEN}.") == f"Bearer {REDACTED}."
    assert not path.exists()


def test_of_a_whole_kubeconfig_the_token_is_taken_out_and_ordinary_words_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBE", KUBECONFIG)
    with resolved({"kubeconfig": "secret:env:KUBE"}) as (_, redaction):
        assert redaction.text(f"user ci, {TOKEN}, apiVersion v1") == f"user ci, {REDACTED}, apiVersion v1"
        output = v4.new_output("stream", text=KUBECONFIG)
        notebook = v4.new_notebook(cells=[v4.new_code_cell("show()", outputs=[output])])
        redaction.notebook(notebook)
        assert notebook.cells[0].outputs[0].text == REDACTED


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("secret:env:NOT_SET_ANYWHERE", "no environment variable NOT_SET_ANYWHERE"),
        ("secret:file:/does/not/exist", "cannot be read"),
        ("secret:vault:a/b", "not a reference to a secret"),
        ("secret:", "not a reference to a secret"),
        ("secret:env:SHORT", "fewer than 6 characters"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, problem: str
) -> None:
    monkeypatch.setenv("SHORT", "abc")
    runbook = write_runbook(tmp_path, "print(word)")
    with pytest.raises(BadInput, match=problem) as refused:
        run_runbook(runbook, {"word": reference}, out=tmp_path / "out")
    assert "abc" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_key_of_a_secret_in_the_cluster_that_the_kubeconfig_names(sandbox: Sandbox) -> None:
    api = connect("meshkit-sandbox", sandbox.kubeconfig).api
    meta = {"name": "planted", "namespace": "default"}
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": TOKEN}})
    given = {"kubeconfig": str(sandbox.kubeconfig), "token": "secret:cluster:default/planted/token"}
    with resolved(given) as (found, redaction):
        assert Path(found["token"]).read_text() == TOKEN
        assert TOKEN not in redaction.text(f"it is {TOKEN}")
    nowhere = {**given, "token": "secret:cluster:default/planted/other"}
    with pytest.raises(BadInput, match="no key 'other' in a Secret default/planted"), resolved(nowhere):
        pytest.fail("it leads nowhere")


@pytest.mark.parametrize(
    "secret", [PLANTED, f"-----BEGIN KEY-----\nc2hvcnQ=\n{PLANTED}\n-----END KEY-----\n"]
)
def test_no_line_of_a_running_runbook_holds_the_secret(tmp_path: Path, secret: str) -> None:
    (tmp_path / "secret").write_text(secret)
    lines: list[str] = []
    pieces = "import sys\nfor one in open(word).read():\n    sys.stdout.write(one); sys.stdout.flush()\n"
    name = write_runbook(tmp_path, pieces, "print('end')")
    given = {"word": f"secret:file:{tmp_path / 'secret'}"}
    run_runbook(name, given, out=tmp_path / "out", on_line=lines.append)
    assert lines == ["Small", REDACTED, "end"]
