"""Names, versions and duplicate keys in requests, and the objects that every cluster has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.contract.requests import request

APPLY = "application/apply-patch+yaml"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@pytest.fixture(scope="module")
def connection(kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(config_file=str(kubeconfig)) as found:
        yield found


@pytest.fixture(scope="module")
def gadgets(connection: client.ApiClient) -> Iterator[str]:
    """The group of a custom resource with three versions, which are listed from the oldest."""
    schema = {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
        }
    }
    versions = [
        {"name": name, "served": True, "storage": name == "v1alpha1", "schema": schema}
        for name in ("v1alpha1", "v1beta3", "v1beta10")
    ]
    spec = {
        "group": "contract.example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": versions,
    }
    name = "gadgets.contract.example.com"
    code, made, _ = request(connection, "POST", CRDS, {"metadata": {"name": name}, "spec": spec})
    assert code == 201, made
    until(lambda: request(connection, "GET", "/apis/contract.example.com/v1beta3")[0] == 200)
    yield "contract.example.com"
    request(connection, "DELETE", f"{CRDS}/{name}")


def until(holds: Any, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_apply_may_leave_the_name_to_the_address_and_name_any_version(
    connection: client.ApiClient, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c?fieldManager=x"
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}
    code, answer, _ = request(connection, "PATCH", path, nameless, APPLY)
    why = "the name of the object (c based on URL) was undeterminable: name must be provided"
    assert (code, answer["message"]) == (400, why)
    named = {**nameless, "metadata": {"name": "c", "resourceVersion": "0"}}
    assert request(connection, "PATCH", path, named, APPLY)[0] == 201
    assert request(connection, "PATCH", path, named | {"data": {"a": "2"}}, APPLY)[0] == 200
    code, answer, _ = request(connection, "PATCH", path, nameless | {"data": {"a": "3"}}, APPLY)
    assert (code, answer["data"]) == (200, {"a": "3"})
    absent = {**named, "metadata": {"name": "d", "resourceVersion": "5"}}
    assert request(connection, "PATCH", path.replace("/c?", "/d?"), absent, APPLY)[0] == 201


def test_a_custom_resource_needs_a_version_for_an_update(
    connection: client.ApiClient, namespace: str, gadgets: str
) -> None:
    path = f"/apis/{gadgets}/v1beta3/namespaces/{namespace}/gadgets/g?fieldManager=x"
    body = {
        "apiVersion": f"{gadgets}/v1beta3",
        "kind": "Gadget",
        "metadata": {"name": "g", "resourceVersion": "0"},
        "spec": {"size": 1},
    }
    assert request(connection, "PATCH", path, body, APPLY)[0] == 201
    code, answer, _ = request(connection, "PATCH", path, {**body, "spec": {"size": 2}}, APPLY)
    why = 'gadgets.contract.example.com "g" is invalid: metadata.resourceVersion: Invalid value: 0: '
    assert (code, answer["message"]) == (422, f"{why}must be specified for an update")


def test_the_newest_stable_version_of_a_group_is_preferred(
    connection: client.ApiClient, gadgets: str
) -> None:
    _, group, _ = request(connection, "GET", f"/apis/{gadgets}")
    assert [each["version"] for each in group["versions"]] == ["v1beta10", "v1beta3", "v1alpha1"]
    assert group["preferredVersion"]["version"] == "v1beta10"
    name = f"{API_SERVICES}/v1beta3.{gadgets}"
    until(lambda: request(connection, "GET", name)[0] == 200)
    _, service, _ = request(connection, "GET", name)
    assert service["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert service["spec"] == {
        "group": gadgets, "version": "v1beta3", "groupPriorityMinimum": 1000, "versionPriority": 100,
    }  # fmt: skip


DUPLICATE = (
    '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d", "labels": {"x": "1", "x": "2"}}, '
    '"data": {"a": "1", "a": "2"}}'
)
DUPLICATES = ['duplicate field "metadata.labels.x"', 'duplicate field "data.a"']


def test_duplicate_keys_are_refused_or_warned_of(connection: client.ApiClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    code, answer, _ = request(connection, "POST", f"{path}?fieldValidation=Strict", DUPLICATE)
    why = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
    assert (code, answer["message"]) == (400, why + ", ".join(DUPLICATES))
    code, answer, warnings = request(connection, "POST", path, DUPLICATE)
    assert (code, answer["data"]) == (201, {"a": "2"})
    escaped = [each.replace('"', '\\"') for each in DUPLICATES]
    assert warnings == [f'299 - "{each}"' for each in escaped]
    ignored = f"{path}?fieldValidation=Ignore&dryRun=All"
    assert request(connection, "POST", ignored, DUPLICATE.replace('"d"', '"e"'))[2] == []
    merge, patch = "application/merge-patch+json", '{"data": {"a": "3", "a": "4"}}'
    code, answer, warnings = request(connection, "PATCH", f"{path}/d", patch, merge)
    assert (code, answer["data"], warnings) == (200, {"a": "4"}, [f'299 - "{escaped[1]}"'])
    code, answer, _ = request(connection, "PATCH", f"{path}/d?fieldValidation=Strict", patch, merge)
    assert (code, answer["message"].endswith(f"strict decoding error: {DUPLICATES[1]}")) == (422, True)
    yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  a: '5'\n  a: '6'\n"
    code, answer, warnings = request(connection, "PATCH", f"{path}/d?fieldManager=x&force=true", yaml, APPLY)
    assert (code, answer["data"]) == (200, {"a": "6"})
    assert warnings == ['299 - "line 6: key \\"a\\" already set in map"']
    strict = f"{path}/d?fieldManager=x&force=true&fieldValidation=Strict"
    code, answer, _ = request(connection, "PATCH", strict, yaml, APPLY)
    why = "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: "
    assert (code, answer["message"]) == (400, f'{why}key "a" already set in map')


def test_the_objects_that_every_cluster_has(connection: client.ApiClient) -> None:
    _, service, _ = request(connection, "GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["port"], port["protocol"]) == ("https", 443, "TCP")
    _, endpoints, _ = request(connection, "GET", "/api/v1/namespaces/default/endpoints/kubernetes")
    (subset,) = endpoints["subsets"]
    assert subset["ports"] == [{"name": "https", "port": port["targetPort"], "protocol": "TCP"}]
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    _, piece, _ = request(connection, "GET", path)
    assert piece["ports"] == subset["ports"]
    assert [each["addresses"] for each in piece["endpoints"]] == [[subset["addresses"][0]["ip"]]]
    name = "extension-apiserver-authentication"
    _, found, _ = request(connection, "GET", f"/api/v1/namespaces/kube-system/configmaps/{name}")
    assert found["data"]["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")
    until(lambda: request(connection, "GET", f"{API_SERVICES}/v1.apps")[0] == 200)
    _, nodes, _ = request(connection, "GET", "/api/v1/nodes")
    ready = [each for each in nodes["items"][0]["status"]["conditions"] if each["type"] == "Ready"]
    assert ready[0]["lastHeartbeatTime"]


def test_a_service_without_pods_has_empty_endpoints(connection: client.ApiClient, namespace: str) -> None:
    spec = {"selector": {"app": "none"}, "ports": [{"name": "http", "port": 80}]}
    path = f"/api/v1/namespaces/{namespace}"
    request(connection, "POST", f"{path}/services", {"metadata": {"name": "s"}, "spec": spec})
    until(lambda: request(connection, "GET", f"{path}/endpoints/s")[0] == 200)
    _, found, _ = request(connection, "GET", f"{path}/endpoints/s")
    assert found["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert not found.get("subsets")
