"""Ownership after a release: what it took goes back, what others did meanwhile stays."""

from __future__ import annotations

from typing import Any

from meshkit.operations.release.managed_fields import handed_back


def entry(manager: str, fields: dict[str, Any], operation: str = "Apply") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}


HTTP: dict[str, Any] = {"f:spec": {"f:http": {}}}
HOSTS: dict[str, Any] = {"f:spec": {"f:hosts": {}}}
BOTH: dict[str, Any] = {"f:spec": {"f:hosts": {}, "f:http": {}}}


def test_what_was_taken_goes_back_to_its_owner() -> None:
    now = [entry("argocd", HOSTS), entry("canary", HTTP, "Update")]
    assert handed_back([entry("argocd", BOTH)], now, "canary") == [entry("argocd", BOTH)]


def test_owner_that_lost_everything_is_put_back() -> None:
    now = [entry("canary", HTTP, "Update")]
    assert handed_back([entry("argocd", HTTP)], now, "canary") == [entry("argocd", HTTP)]


def test_two_owners_both_get_it_back() -> None:
    saved = [entry("argocd", BOTH), entry("helm", HTTP)]
    now = [entry("argocd", HOSTS), entry("canary", HTTP, "Update")]
    assert handed_back(saved, now, "canary") == saved


def test_what_others_wrote_meanwhile_stays_theirs() -> None:
    labels = {"f:metadata": {"f:labels": {".": {}, "f:team": {}}}}
    now = [entry("argocd", HOSTS), entry("kubectl", labels, "Update"), entry("canary", HTTP, "Update")]
    found = handed_back([entry("argocd", BOTH)], now, "canary")
    assert found == [entry("argocd", BOTH), entry("kubectl", labels, "Update")]


def test_list_taken_over_by_someone_else_stays_theirs() -> None:
    now = [entry("argocd", HOSTS), entry("kubectl", HTTP, "Update")]
    assert handed_back([entry("argocd", BOTH)], now, "canary") == now


def test_fields_that_nobody_owned_stay_with_who_wrote_them() -> None:
    now = [entry("argocd", HOSTS), entry("canary", HTTP, "Update")]
    assert handed_back([entry("argocd", HOSTS)], now, "canary") == now


def test_status_is_another_matter() -> None:
    status = {**entry("istiod", {"f:status": {"f:conditions": {}}}, "Update"), "subresource": "status"}
    now = [status, entry("canary", HTTP, "Update")]
    assert handed_back([entry("argocd", HTTP), status], now, "canary") == [status, entry("argocd", HTTP)]
