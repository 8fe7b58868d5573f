"""What the library asks of an API server, and how its answers become errors with a remedy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import Conflict, Forbidden, Rejected, TimedOut, Unauthenticated, Unreachable
from meshkit.facts import Kind

CONFIG_MAP, SERVICE = Kind("v1", "ConfigMap"), Kind("v1", "Service")


def config_map(namespace: str, name: str = "settings", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"test": "yes"}},
        "data": data,
    }


@pytest.fixture
def api(cluster: Cluster) -> Api:
    return cluster.api


def test_what_is_not_there_is_none(api: Api, namespace: str) -> None:
    assert api.get(CONFIG_MAP, "none", namespace) is None
    assert api.get(Kind("nowhere.dev/v1", "Nothing"), "none") is None
    assert api.list(Kind("nowhere.dev/v1", "Nothing")) == []


def test_list_selects_by_label_and_names_kinds(api: Api, namespace: str) -> None:
    for i in range(3):
        api.apply(config_map(namespace, f"settings-{i}"))
    found = api.list(CONFIG_MAP, namespace, "test=yes")
    assert [obj["metadata"]["name"] for obj in found] == ["settings-0", "settings-1", "settings-2"]
    assert {(obj["apiVersion"], obj["kind"]) for obj in found} == {CONFIG_MAP}
    assert api.list(CONFIG_MAP, namespace, "test=no") == []


def test_dry_run_shows_the_result_and_changes_nothing(api: Api, namespace: str) -> None:
    assert api.apply(config_map(namespace, a="1"), dry_run=True)["data"] == {"a": "1"}
    assert api.get(CONFIG_MAP, "settings", namespace) is None


def test_conflict_names_the_other_manager_and_its_fields(api: Api, namespace: str) -> None:
    api.apply(config_map(namespace, a="1"), manager="somebody")
    with pytest.raises(Conflict, match=f"ConfigMap {namespace}/settings: somebody owns") as raised:
        api.apply(config_map(namespace, a="2"))
    assert raised.value.managers == {"somebody": (".data.a",)}
    assert api.apply(config_map(namespace, a="2"), force=True)["data"] == {"a": "2"}


def test_another_resource_version_is_a_conflict(api: Api, namespace: str) -> None:
    old = api.apply(config_map(namespace, a="1"))["metadata"]["resourceVersion"]
    api.apply(config_map(namespace, a="2"))
    patch = {"metadata": {"resourceVersion": old}, "data": {"a": "3"}}
    with pytest.raises(Conflict):
        api.merge_patch(CONFIG_MAP, "settings", namespace, patch)


def test_create_what_exists_is_a_conflict(api: Api, namespace: str) -> None:
    api.create(config_map(namespace))
    with pytest.raises(Conflict):
        api.create(config_map(namespace))


def test_json_patch_with_a_failed_test_is_rejected(api: Api, namespace: str) -> None:
    api.apply(config_map(namespace, a="1"))
    ops = [
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "replace", "path": "/data/a", "value": "3"},
    ]
    with pytest.raises(Rejected) as raised:
        api.json_patch(CONFIG_MAP, "settings", namespace, ops)
    assert raised.value.status == 422
    ops[0]["value"] = "1"
    assert api.json_patch(CONFIG_MAP, "settings", namespace, ops)["data"] == {"a": "3"}


def test_delete_only_this_object(api: Api, namespace: str) -> None:
    uid = api.apply(config_map(namespace))["metadata"]["uid"]
    with pytest.raises(Conflict):
        api.delete(CONFIG_MAP, "settings", namespace, uid="00000000-0000-0000-0000-000000000000")
    api.delete(CONFIG_MAP, "settings", namespace, uid=uid)
    api.delete(CONFIG_MAP, "settings", namespace, uid=uid)
    assert api.get(CONFIG_MAP, "settings", namespace) is None


def test_an_unknown_field_is_rejected(api: Api, namespace: str) -> None:
    with pytest.raises(Rejected, match="selektor"):
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": namespace},
                "spec": {"selektor": {"app": "web"}, "ports": [{"port": 80}]},
            }
        )


def test_a_kind_that_is_not_served_is_rejected(api: Api, namespace: str) -> None:
    meta = {"name": "x", "namespace": namespace}
    with pytest.raises(Rejected, match="does not serve Nothing") as raised:
        api.apply({"apiVersion": "nowhere.dev/v1", "kind": "Nothing", "metadata": meta})
    assert "Install the mesh" in raised.value.remedy


def test_wait_says_what_did_not_come(api: Api, namespace: str) -> None:
    with pytest.raises(
        TimedOut, match=f"ConfigMap {namespace}/none was not there after 0.3 s: still missing"
    ):
        api.wait(CONFIG_MAP, "none", namespace, bool, 0.3, "there", why=lambda found: "still missing")


def test_a_user_without_rights_is_forbidden(as_account: Callable[..., Cluster], namespace: str) -> None:
    nobody = as_account("nobody")
    assert nobody.api.whoami() == f"system:serviceaccount:{namespace}:nobody"
    assert not nobody.api.allowed("create", "", "configmaps", namespace)
    with pytest.raises(Forbidden, match="configmaps") as raised:
        nobody.api.apply(config_map(namespace))
    assert "administrator" in raised.value.remedy


def test_an_administrator_is_allowed(api: Api, namespace: str) -> None:
    assert api.allowed("create", "", "configmaps", namespace)


def test_a_refused_token_says_so_and_is_not_repeated(as_account: Callable[..., Cluster]) -> None:
    with pytest.raises(Unauthenticated, match="has expired") as raised:
        as_account(token="expired-token-0123").api.whoami()
    assert "Log in again" in raised.value.remedy
    assert "expired-token-0123" not in str(raised.value)


def test_no_answer_is_said_at_once(kubeconfig: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"API server at https://127\.0\.0\.1:9 does not answer"):
        connect(kubeconfig=path).api.whoami()
    assert time.monotonic() - started < 20, "it does not try again for minutes"


def test_a_server_of_another_authority_is_not_trusted(kubeconfig: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(Unreachable, match="is not trusted"):
        connect(kubeconfig=path).api.whoami()


def test_two_clusters_live_side_by_side(cluster: Cluster, as_account: Callable[..., Cluster]) -> None:
    other = as_account("nobody")
    assert other.api.whoami() != cluster.api.whoami()
    assert replace(cluster, context="other").api is cluster.api
