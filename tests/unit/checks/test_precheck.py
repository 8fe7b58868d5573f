"""What ``istioctl x precheck`` looks at, and what is asked of any control plane: each takes one thing from a
healthy mesh away.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.unit.checks.meshes import (
    HEALTHY,
    NOW,
    Objects,
    added,
    both,
    changed,
    found,
    named,
    obj,
    pod,
    shop,
    without,
)

Break = Callable[[Objects], None]
GATEWAY_API = "gateway.networking.k8s.io"


def served(plural: str, *versions: str) -> dict[str, Any]:
    names = {"kind": plural, "plural": plural}
    listed = [{"name": each, "served": True} for each in versions]
    spec = {"group": GATEWAY_API, "names": names, "versions": listed}
    return obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{GATEWAY_API}", spec=spec)


@pytest.mark.parametrize(
    ("plural", "versions", "codes"),
    [
        ("gateways", ("v1beta1", "v1"), []),
        ("gateways", ("v1alpha2", "v1"), ["MK1402 error"]),
        ("gateways", ("v1beta1",), ["MK1402 warning"]),
        ("gatewayclasses", ("v1beta1",), ["MK1402 warning"]),
        ("httproutes", ("v1",), ["MK1402 error"]),
        ("httproutes", ("v1beta1",), ["MK1402 error"]),
        ("referencegrants", ("v1alpha2",), ["MK1402 error"]),
        ("referencegrants", ("v1beta1",), []),
        ("grpcroutes", ("v1alpha2",), ["MK1402 error"]),
        ("tcproutes", ("v1alpha2",), []),
    ],
)
def test_istio_reads_the_gateway_api_in_two_versions(
    plural: str, versions: tuple[str, ...], codes: list[str]
) -> None:
    assert found("istio", [*shop("istio"), served(plural, *versions)], pre=True) == codes


@pytest.mark.parametrize(
    ("mesh", "versions", "codes"),
    [("istio", ("v1beta1",), ["MK1402 error"]), ("linkerd", ("v1beta1",), ["MK1402 error"])],
)
def test_the_gateway_api_is_looked_at_in_a_running_mesh_too(
    mesh: str, versions: tuple[str, ...], codes: list[str]
) -> None:
    objects = deepcopy(HEALTHY[mesh])
    old = served("httproutes", *versions)
    objects = [one for one in objects if one["metadata"]["name"] != old["metadata"]["name"]]
    assert found(mesh, [*objects, old]) == codes


def test_alpha_annotations_are_told_before_an_upgrade_and_only_then() -> None:
    objects = deepcopy(HEALTHY["istio"])
    template = named(objects, "Deployment", "web")["spec"]["template"]
    template["metadata"]["annotations"] = {"sidecar.istio.io/logLevel": "debug", "example.com/a": "b"}
    assert found("istio", objects, pre=True) == ["MK0612 info", "MK1201 warning"]
    assert found("istio", objects) == []


def test_what_istios_own_gateway_chart_writes_is_nobodys_alpha_annotation() -> None:
    objects = shop("istio")
    template = named(objects, "Deployment", "web")["spec"]["template"]
    template["metadata"]["annotations"] = {"inject.istio.io/templates": "gateway"}
    assert found("istio", objects, pre=True) == []


def test_an_alpha_annotation_of_a_service_counts() -> None:
    objects = shop("istio")
    note = {"networking.istio.io/exportTo": "."}
    named(objects, "Service", "web")["metadata"]["annotations"] = note
    assert found("istio", objects, pre=True) == ["MK0612 info"]


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_a_webhook_left_behind_is_found_before_an_installation(mesh: str) -> None:
    left = [one for one in HEALTHY[mesh] if one["kind"] == "MutatingWebhookConfiguration"]
    definitions = [one for one in HEALTHY[mesh] if one["kind"] == "CustomResourceDefinition"]
    assert found(mesh, [*shop(mesh), *definitions, *left], pre=True) == ["MK0507 error"]


def beaten(seconds: float, status: str = "True") -> Break:
    """The last heartbeat of node a, that many seconds from now."""
    text = (NOW + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": status, "lastHeartbeatTime": text}
    return changed("Node", "a", status__conditions=[condition])


@pytest.mark.parametrize(
    ("break_it", "codes"),
    [
        (beaten(-319), []),
        (beaten(-321), ["MK1405 warning"]),
        (beaten(321), ["MK1405 warning"]),
        (beaten(-4000, "Unknown"), []),
    ],
)
@pytest.mark.parametrize("pre", [True, False])
def test_a_clock_that_is_not_ours(break_it: Break, codes: list[str], pre: bool) -> None:
    objects = shop("istio") if pre else deepcopy(HEALTHY["istio"])
    break_it(objects)
    assert found("istio", objects, pre=pre) == codes


def unplaced(objects: Objects) -> None:
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes."}
    waiting = pod("istiod-d", "istio-system", "", {"app": "other"}, ("app", "i:1"))
    objects.append({**waiting, "status": {"phase": "Pending", "conditions": [why]}})


def refused(objects: Objects) -> None:
    why = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    named(objects, "Deployment", "istiod")["status"] = {"conditions": [why]}


def under_account(*more: dict[str, Any]) -> Break:
    def break_it(objects: Objects) -> None:
        spec = named(objects, "Deployment", "istiod")["spec"]["template"]["spec"]
        spec["serviceAccountName"] = "istiod"
        objects.extend(deepcopy(list(more)))

    return break_it


RBAC = "rbac.authorization.k8s.io/v1"
ACCOUNT = obj("v1", "ServiceAccount", "istiod", "istio-system")
ROLE = obj(RBAC, "ClusterRole", "istiod")
BINDING = obj(
    *(RBAC, "ClusterRoleBinding", "istiod"),
    roleRef={"kind": "ClusterRole", "name": "istiod"},
    subjects=[{"kind": "ServiceAccount", "name": "istiod", "namespace": "istio-system"}],
)


def older_definition(objects: Objects) -> None:
    spec = named(objects, "CustomResourceDefinition", "virtualservices.networking.istio.io")["spec"]
    spec["versions"] = [{"name": "v1beta1", "served": True}, {"name": "v1", "served": False}]


def agent(name: str, ready: int) -> dict[str, Any]:
    spec = {"selector": {}, "template": {}}
    status = {"desiredNumberScheduled": 3, "numberReady": ready}
    return obj("apps/v1", "DaemonSet", name, "istio-system", spec=spec, status=status)


def validated(objects: Objects) -> None:
    named(objects, "Pod", "web-a")["spec"]["initContainers"] = [{"name": "istio-validation", "image": "i:1"}]


def proxy(version: str) -> Break:
    image = f"docker.io/istio/proxyv2:{version}"
    return added(pod("other", "shop", "a", {}, ("web", "web:1"), ("istio-proxy", image)))


def second_istiod(objects: Objects) -> None:
    image = "docker.io/istio/pilot:1.29.2"
    other = deepcopy(named(objects, "Deployment", "istiod"))
    other["metadata"]["name"] = "istiod-1-29"
    other["spec"]["template"]["spec"]["containers"][0]["image"] = image
    objects.append(other)


CASES: dict[str, tuple[Break, list[str]]] = {
    "a pod that no node takes": (unplaced, ["MK0408 warning"]),
    "pods that are refused": (refused, ["MK0409 error"]),
    "no definition": (
        without("CustomResourceDefinition", "telemetries.telemetry.istio.io"),
        ["MK1203 error"],
    ),
    "a definition without our version": (older_definition, ["MK1203 error"]),
    "an account with its role": (under_account(ACCOUNT, ROLE, BINDING), []),
    "no account": (under_account(ROLE, BINDING), ["MK1204 error"]),
    "no binding": (under_account(ACCOUNT, ROLE), ["MK1205 error"]),
    "no role": (under_account(ACCOUNT, BINDING), ["MK1205 error"]),
    "agents ready": (both(added(agent("istio-cni-node", 3)), validated), []),
    "an agent is not ready": (added(agent("istio-cni-node", 2)), ["MK0410 error"]),
    "another's agent is not ready": (added(agent("cilium", 2)), []),
    "no agent": (validated, ["MK0411 error"]),
    "one minor version behind": (proxy("1.30.9"), ["MK0608 warning"]),
    "two minor versions behind": (proxy("1.29.9"), ["MK0608 warning", "MK0613 error"]),
    "ahead": (proxy("1.32.0-distroless"), ["MK0608 warning", "MK0613 error"]),
    "no version at all": (proxy("latest"), ["MK0608 warning"]),
}


@pytest.mark.parametrize(("break_it", "codes"), CASES.values(), ids=CASES)
def test_what_is_broken_is_found_and_nothing_else(break_it: Break, codes: list[str]) -> None:
    objects = deepcopy(HEALTHY["istio"])
    break_it(objects)
    assert found("istio", objects) == codes


def test_a_proxy_is_supported_by_the_control_plane_of_another_revision() -> None:
    objects = deepcopy(HEALTHY["istio"])
    both(second_istiod, proxy("1.29.9"))(objects)
    assert "MK0613 error" not in found("istio", objects)
