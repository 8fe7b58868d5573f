"""Which cluster is meant: named, or the only one possible; never a kubeconfig's current context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster import connect as connecting
from meshkit.cluster.connect import SANDBOX, connect
from meshkit.errors import BadInput, UnknownName


def write(path: Path, *contexts: str, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0] if contexts else "",
        "clusters": [{"name": c, "cluster": {"server": f"https://{c}.invalid:6443"}} for c in contexts],
        "users": [{"name": c, "user": {"token": "t"}} for c in contexts],
        "contexts": [{"name": c, "context": {"cluster": c, "user": c}} for c in contexts],
        **more,
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def test_a_named_context_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "prod", "staging")
    cluster = connect("staging", path)
    assert (cluster.context, cluster.server) == ("staging", "https://staging.invalid:6443")


def test_a_login_program_that_is_not_there_is_bad_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    login = {"apiVersion": "client.authentication.k8s.io/v1", "command": "none", "interactiveMode": "Never"}
    path = write(tmp_path / "config", "prod", users=[{"name": "prod", "user": {"exec": login}}])
    with pytest.raises(BadInput, match=r"context prod of .* cannot be used: .*'none'"):
        connect("prod", path)
    assert capfd.readouterr().err == ""


def test_contexts_are_found_in_every_file_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / name, name) for name in ("one", "two")]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert connect("two").server == "https://two.invalid:6443"


def test_a_file_with_one_context_needs_no_name(tmp_path: Path) -> None:
    assert connect(kubeconfig=write(tmp_path / "config", "only")).context == "only"


def test_several_contexts_are_listed_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has 2 contexts\. Name one with context=: prod, staging"):
        connect(kubeconfig=write(tmp_path / "config", "prod", "staging"))


def test_an_unknown_context_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'staging'"):
        connect("stagin", write(tmp_path / "config", "prod", "staging"))


def test_nothing_named_and_no_sandbox_names_the_contexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", "prod")))
    with pytest.raises(BadInput, match=r"sandbox is not up.*meshkit sandbox up.*prod"):
        connect()


def test_nothing_named_is_the_sandbox_when_it_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)
    monkeypatch.setattr(connecting, "_listens", lambda server: True)
    assert connect().context == SANDBOX


def test_a_stopped_sandbox_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)
    path.write_text(path.read_text().replace(f"https://{SANDBOX}.invalid:6443", "https://127.0.0.1:9"))
    with pytest.raises(BadInput, match="sandbox is not up"):
        connect()


@pytest.mark.parametrize("text", ["contexts: 7", "a: [", "", "contexts: [{}]"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"{path} is not a kubeconfig"):
        connect("prod", path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        connect(kubeconfig=tmp_path / "none")


def test_a_context_without_its_cluster_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"context prod of .* cannot be used"):
        connect("prod", write(tmp_path / "config", "prod", clusters=[]))
