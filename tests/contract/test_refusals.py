"""The sandbox refuses invalid names and paths with the causes that Kubernetes returns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.contract.refusals import REFUSALS

TOKEN = ["BearerToken"]


@pytest.fixture(scope="module")
def connection(kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(config_file=str(kubeconfig)) as found:
        yield found


def status_of(connection: client.ApiClient, method: str, path: str, body: object = None) -> Any:
    """The Status of a request that must fail."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = connection.param_serialize(
        method=method, resource_path=path, header_params=headers, body=body, auth_settings=TOKEN
    )
    answer = connection.call_api(*request)
    assert answer.read()
    assert answer.status >= 400, f"{method} {path} succeeded"
    return json.loads(answer.data)


def causes_of(connection: client.ApiClient, namespace: str, obj: Any) -> Any:
    """What is said of an object that must be refused."""
    root = f"/apis/{obj['apiVersion']}" if "/" in obj["apiVersion"] else f"/api/{obj['apiVersion']}"
    path = f"{root}/namespaces/{namespace}/{obj['kind'].lower()}s?dryRun=All"
    status = status_of(connection, "POST", path, obj)
    assert (status["code"], status["reason"]) == (422, "Invalid"), status["message"]
    return sorted((each["field"], each["reason"], each["message"]) for each in status["details"]["causes"])


def test_names_and_paths_that_lead_astray_are_refused(connection: client.ApiClient, namespace: str) -> None:
    found = {which: causes_of(connection, namespace, obj) for which, (obj, _) in REFUSALS.items()}
    assert found == {which: sorted(expected) for which, (_, expected) in REFUSALS.items()}


def test_a_name_in_an_address_is_no_path(connection: client.ApiClient, namespace: str) -> None:
    for name, code, why in (
        ("a%25b", 400, "Name parameter invalid: \"a%b\": may not contain '%'"),
        ("%2e%2e", 400, "Name parameter invalid: \"..\": may not be '..'"),
        ("a%2Fb", 404, "the server could not find the requested resource"),
    ):
        status = status_of(connection, "GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        assert (status["code"], status["message"]) == (code, why)
