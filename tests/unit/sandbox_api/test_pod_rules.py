"""Names and paths that lead astray are refused with Kubernetes' own causes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshkit.sandbox.api.requests import Admission
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage.store import Key
from tests.contract.refusals import REFUSALS

TARGETS = {
    "CronJob": "cronjobs.batch",
    "Deployment": "deployments.apps",
    "Job": "jobs.batch",
    "ReplicaSet": "replicasets.apps",
    "Role": "roles.rbac.authorization.k8s.io",
}
SCHEMA = {"openAPIV3Schema": {"type": "object"}}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": SCHEMA}


def refused(api: Any, obj: dict[str, Any]) -> ApiError:
    resource = TARGETS.get(obj["kind"], f"{obj['kind'].lower()}s")
    obj = obj | {"metadata": {"namespace": "default"} | obj["metadata"]}
    with pytest.raises(ApiError) as error:
        asyncio.run(api.client.create(resource, obj))
    return error.value


@pytest.mark.parametrize("which", REFUSALS)
def test_a_name_or_path_that_leads_astray_is_refused(api: Any, which: str) -> None:
    obj, expected = REFUSALS[which]
    error = refused(api, obj)
    assert (error.code, error.reason) == (422, "Invalid")
    found = [(each["field"], each["reason"], each["message"]) for each in error.details["causes"]]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"names": {"plural": "a.b", "kind": "Widget"}}, "spec.names.plural"),
        ({"names": {"plural": "widgets", "kind": "../Widget"}}, "spec.names.kind"),
        (
            {"names": {"plural": "widgets", "kind": "Widget", "shortNames": ["../w"]}},
            "spec.names.shortNames[0]",
        ),
        ({"group": "apps"}, "spec.group"),
        ({"versions": [VERSION | {"name": "../v1"}]}, "spec.versions[0].name"),
    ],
)
def test_a_name_of_a_definition_becomes_part_of_an_address(
    api: Any, change: dict[str, Any], field: str
) -> None:
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [VERSION],
        **change,
    }
    crd = {"metadata": {"name": f"{spec['names']['plural']}.{spec['group']}"}, "spec": spec}
    with pytest.raises(ApiError) as error:
        asyncio.run(api.client.create("customresourcedefinitions.apiextensions.k8s.io", crd))
    assert error.value.code == 422
    assert field in [each["field"] for each in error.value.details["causes"]]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"podIP": "evil.example/?"}, r"status.podIPs\[0\]: .* must be a valid IP address"),
        (
            {"podIP": "1.2.3.4", "podIPs": [{"ip": "::1/x"}]},
            r"status.podIPs\[0\]: .* must be a valid IP address",
        ),
        ({"podIP": "evil.example", "podIPs": [{"ip": "1.2.3.4"}]}, r"podIPs\[0\].ip: .* equal to `podIP`"),
    ],
)
def test_an_address_that_is_none_is_not_said_of_a_pod(api: Any, status: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        spec = {"containers": [{"name": "c", "image": "web"}]}
        await api.client.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
        await api.client.update_status("pods", "p", "default", status)

    with pytest.raises(ApiError, match=why):
        asyncio.run(scenario())


def test_a_pod_whose_spec_is_not_valid_any_more_can_still_be_reported_on(api: Any) -> None:
    spec = {"containers": [{"name": "../c", "image": "web"}]}
    meta = {"name": "old", "namespace": "default", "uid": "u"}
    api.store.create(
        Key("pods", "default", "old"), {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    )
    found = asyncio.run(api.client.update_status("pods", "old", "default", {"phase": "Failed"}))
    assert found["status"]["phase"] == "Failed"


@pytest.mark.parametrize(("value", "byte"), [("abcde", "4"), ("ab!d", "2"), ("YQ==YQ==", ""), ("YQ=", "")])
def test_the_value_of_a_secret_is_base64(api: Any, value: str, byte: str) -> None:
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"k": value}}
    with pytest.raises(ApiError, match=f"illegal base64 data at input byte {byte}") as error:
        asyncio.run(api.client.create("secrets", secret))
    assert error.value.code == 400
    good = secret | {"data": {"k": "YW55\nIGNh\ncm5hbA=="}}
    assert asyncio.run(api.client.create("secrets", good))["data"] == good["data"]


def test_a_webhook_gives_an_object_no_other_identity(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Renames:
        async def mutate(self, admission: Admission) -> dict[str, Any]:
            changed = {"uid": "..", "namespace": "kube-system", "name": "other"}
            return {**admission.object, "metadata": admission.object["metadata"] | changed}

        async def validate(self, admission: Admission) -> None:
            return None

    monkeypatch.setattr(api.writes, "_admit", Renames())
    meta = {"name": "c", "namespace": "default"}
    made = asyncio.run(api.client.create("configmaps", {"metadata": meta}))["metadata"]
    assert (made["name"], made["namespace"]) == ("c", "default")
    assert made["uid"] != ".."
