"""Linkerd's definitions have the versions, requirements and columns that Linkerd publishes."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes.linkerd.definitions import definitions

PUBLISHED = {
    "authorizationpolicies.policy.linkerd.io": ["v1alpha1"],
    "egressnetworks.policy.linkerd.io": ["v1alpha1"],
    "externalworkloads.workload.linkerd.io": ["v1alpha1", "v1beta1"],
    "httplocalratelimitpolicies.policy.linkerd.io": ["v1alpha1"],
    "httproutes.policy.linkerd.io": ["v1alpha1", "v1beta1", "v1beta2", "v1beta3"],
    "meshtlsauthentications.policy.linkerd.io": ["v1alpha1"],
    "networkauthentications.policy.linkerd.io": ["v1alpha1"],
    "serverauthorizations.policy.linkerd.io": ["v1alpha1", "v1beta1"],
    "serviceprofiles.linkerd.io": ["v1alpha1", "v1alpha2"],
    "servers.policy.linkerd.io": ["v1alpha1", "v1beta1", "v1beta2", "v1beta3"],
}


def versions(name: str) -> dict[str, dict[str, Any]]:
    (found,) = (each for each in definitions() if each["metadata"]["name"] == name)
    return {each["name"]: each for each in found["spec"]["versions"]}


def spec_of(name: str, version: str) -> dict[str, Any]:
    schema: dict[str, Any] = versions(name)[version]["schema"]["openAPIV3Schema"]
    return dict(schema["properties"]["spec"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_version_is_served_and_the_last_is_stored(name: str) -> None:
    found = versions(name)
    assert list(found) == PUBLISHED[name]
    assert all(each["served"] for each in found.values())
    assert [version for version, each in found.items() if each["storage"]] == PUBLISHED[name][-1:]


def test_no_other_kind_is_installed() -> None:
    assert {each["metadata"]["name"] for each in definitions()} == set(PUBLISHED)


def test_a_route_has_timeouts_from_v1beta3_on() -> None:
    of = {
        version: spec_of("httproutes.policy.linkerd.io", version)["properties"]["rules"]["items"]
        for version in PUBLISHED["httproutes.policy.linkerd.io"]
    }
    assert ["timeouts" in rule["properties"] for rule in of.values()] == [False, False, False, True]
    assert "weight" not in of["v1beta1"]["properties"]["backendRefs"]["items"]["properties"]


def test_a_server_selects_external_workloads_from_v1beta2_on() -> None:
    early, late = (spec_of("servers.policy.linkerd.io", each) for each in ("v1beta1", "v1beta2"))
    assert early["required"] == ["podSelector", "port"]
    assert "externalWorkloadSelector" not in early["properties"]
    assert late["required"] == ["port"]
    assert late["oneOf"] == [{"required": ["podSelector"]}, {"required": ["externalWorkloadSelector"]}]


def test_old_versions_say_what_replaces_them() -> None:
    told = {
        (name.partition(".")[0], version): each["deprecationWarning"].rpartition("use ")[2]
        for name in PUBLISHED
        for version, each in versions(name).items()
        if each.get("deprecated")
    }
    assert told == {
        ("servers", "v1alpha1"): "policy.linkerd.io/v1beta1 Server",
        ("servers", "v1beta1"): "policy.linkerd.io/v1beta3 Server",
        ("serverauthorizations", "v1alpha1"): "policy.linkerd.io/v1beta1 ServerAuthorization",
    }


def test_kubectl_prints_a_servers_port_protocol_and_access_policy() -> None:
    columns = versions("servers.policy.linkerd.io")["v1beta3"]["additionalPrinterColumns"]
    assert [each["name"] for each in columns] == ["Port", "Protocol", "Access Policy"]
