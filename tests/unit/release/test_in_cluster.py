"""The objects that run a release in the cluster: least rights, a restricted pod, and no second run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshkit.cluster.rights import Right
from meshkit.operations.release.unattended.job import _Part
from meshkit.operations.rights.roles import rights_of
from meshkit.sandbox.workloads.toolkit import replaced
from tests.unit.granted import granted
from tests.unit.release.stage import Stage


def objects(part: str, mesh: str = "istio", **fields: Any) -> list[dict[str, Any]]:
    stage = Stage(mesh, **fields)
    args = ["release", "run"] if part == "runner" else ["release", "guard", "web-v2"]
    return [
        dict(each) for each in _Part(part, f"web-v2-{part}", args, "meshkit:1", stage.plan()).objects("home")
    ]


def one(kind: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = (each for each in found if each["kind"] == kind)
    return only


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
@pytest.mark.parametrize(("part", "verb"), [("runner", "release"), ("guardian", "guardian")])
def test_each_job_has_the_rights_of_its_verb_and_no_sidecar(mesh: str, part: str, verb: Any) -> None:
    found = objects(part, mesh)
    assert granted(found) == {tuple(right) for right in rights_of(verb, mesh)}
    template = one("Job", found)["spec"]["template"]
    from meshkit.meshes import registry

    assert registry.mesh(mesh).injection.opted_out(template)
    assert template["spec"]["serviceAccountName"] == one("ServiceAccount", found)["metadata"]["name"]


def test_a_guardian_cannot_read_metrics_or_secrets() -> None:
    resources = {right.resource for right in rights_of("guardian", "istio")}
    assert not {"pods/proxy", "secrets"} & resources


def test_a_release_with_notices_may_read_secrets_of_its_namespace_only() -> None:
    plain, notified = (granted(objects("runner", notify=key)) for key in (None, {"name": "s", "key": "url"}))
    assert notified - plain == {tuple(Right("get", "", "secrets", "shop"))}


def test_the_pod_is_restricted_and_has_the_whole_release() -> None:
    found = objects("runner", steps=(10, 100))
    pod = one("Job", found)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert json.loads(one("ConfigMap", found)["data"]["release.json"])["steps"] == [10, 100]


def test_the_sandbox_finds_a_volume_where_it_is() -> None:
    mounts = {"/etc/meshkit": "/pods/1/volumes/release"}
    assert replaced("/etc/meshkit/release.json", mounts) == "/pods/1/volumes/release/release.json"
    assert replaced("/etc/meshkit2", mounts) == "/etc/meshkit2"
