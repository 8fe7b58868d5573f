"""What ``meshkit check`` finds in a running mesh: each test takes one thing from a healthy one away."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unit.checks.meshes import (
    HEALTHY,
    ROOT_KEY,
    SIDECARS,
    Objects,
    added,
    certificate,
    changed,
    deployment,
    encoded,
    found,
    hook,
    linkerd,
    named,
    node,
    obj,
    pod,
    private,
    shop,
    without,
)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_a_healthy_mesh_has_no_findings(mesh: str) -> None:
    assert found(mesh, HEALTHY[mesh]) == []


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_no_control_plane_is_the_only_finding_without_one(mesh: str) -> None:
    assert found(mesh, shop(mesh)) == ["MK1200 error"]


def lost(name: str) -> Callable[[Objects], None]:
    """Every pod of a Deployment of the control plane is gone."""

    def break_it(objects: Objects) -> None:
        objects[:] = [
            o for o in objects if not (o["kind"] == "Pod" and o["metadata"]["name"].startswith(name))
        ]

    return break_it


def moved(where: Callable[[str], str]) -> Callable[[Objects], None]:
    """istiod's pods stand elsewhere."""

    def break_it(objects: Objects) -> None:
        for each in "abc":
            named(objects, "Pod", f"istiod-{each}")["spec"]["nodeName"] = where(each)
        for each in "de":
            objects.append(node(each))
            objects[-1]["metadata"]["labels"]["topology.kubernetes.io/zone"] = "zone-a"

    return break_it


def bare_pod(objects: Objects) -> None:
    named(objects, "Pod", "web-a")["spec"]["containers"].pop()


def peer(name: str, mode: str, namespace: str = "shop") -> dict[str, Any]:
    return obj("security.istio.io/v1", "PeerAuthentication", name, namespace, spec={"mtls": {"mode": mode}})


def rule(**spec: Any) -> dict[str, Any]:
    return obj("networking.istio.io/v1", "DestinationRule", "web", "shop", spec={"host": "web", **spec})


def virtual_service(name: str, subset: str, weight: int = 100) -> dict[str, Any]:
    route = [{"destination": {"host": "web", "subset": subset}, "weight": weight}]
    spec = {"hosts": ["web"], "http": [{"route": route}]}
    return obj("networking.istio.io/v1", "VirtualService", name, "shop", spec=spec)


def quota(used: str) -> dict[str, Any]:
    hard = {"requests.cpu": "10"}
    status = {"hard": hard, "used": {"requests.cpu": used}}
    return obj("v1", "ResourceQuota", "q", "shop", spec={"hard": hard}, status=status)


LIMITS = obj("v1", "LimitRange", "l", "shop", spec={"limits": [{"defaultRequest": {"cpu": "1m"}}]})


def policy(port: int) -> dict[str, Any]:
    ingress = [{"ports": [{"port": port, "protocol": "TCP"}]}]
    spec = {"podSelector": {"matchLabels": {"app": "istiod"}}, "policyTypes": ["Ingress"], "ingress": ingress}
    return obj("networking.k8s.io/v1", "NetworkPolicy", f"p{port}", "istio-system", spec=spec)


def budget(**spec: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "istiod"}}, **spec}
    return obj("policy/v1", "PodDisruptionBudget", "second", "istio-system", spec=spec)


OTHERS = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["istiod"]}]}
OTHERS_WEBHOOK = obj(
    *("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "other"),
    webhooks=[
        {
            "name": "all.example.com",
            "clientConfig": {"service": {"name": "s", "namespace": "n"}},
            "rules": [{"resources": ["pods"]}],
        }
    ],
)
OLD_PROXY = pod("old", "shop", "a", {}, ("web", "web:1"), ("istio-proxy", "docker.io/istio/proxyv2:1.30.1"))
ROUTE = obj(
    *("gateway.networking.k8s.io/v1", "HTTPRoute", "web", "shop"),
    spec={
        "parentRefs": [{"group": "", "kind": "Service", "name": "web"}],
        "rules": [{"backendRefs": [{"name": "nobody", "port": 80}]}],
    },
)
REFUSED = obj(
    *("gateway.networking.k8s.io/v1", "HTTPRoute", "web", "shop"),
    spec={"parentRefs": [{"name": "gateway"}]},
    status={
        "parents": [{"conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingParent"}]}]
    },
)
RSA_ISSUER, RSA_KEY = certificate(key=rsa.generate_private_key(65537, 2048))
ISTIO_CASES: dict[str, tuple[Callable[[Objects], None], list[str]]] = {
    "no replica": (lost("istiod"), ["MK0401 error", "MK0503 error"]),
    "a replica is missing": (lost("istiod-a"), ["MK0402 warning", "MK0407 warning"]),
    "one node": (moved(lambda _: "a"), ["MK0403 warning", "MK0404 warning"]),
    "one zone": (moved(dict(zip("abc", "ade", strict=True)).__getitem__), ["MK0404 warning"]),
    "no budget": (without("PodDisruptionBudget", "istiod"), ["MK0405 warning"]),
    "two budgets": (added(budget(maxUnavailable=1)), ["MK0406 error"]),
    "a budget of others": (added(budget(selector=OTHERS)), []),
    "a budget that blocks": (
        changed("PodDisruptionBudget", "istiod", spec__maxUnavailable=0),
        ["MK0407 warning"],
    ),
    "no webhook": (
        without("MutatingWebhookConfiguration", "istio-sidecar-injector"),
        ["MK0501 error", "MK0605 warning"],
    ),
    "no CA": (hook(clientConfig={"url": "https://x"}), ["MK0502 error", "MK0605 warning"]),
    "pods pass": (hook(failurePolicy="Ignore"), ["MK0504 info"]),
    "a webhook of others": (added(OTHERS_WEBHOOK), ["MK0505 warning"]),
    "both labels": (
        changed(
            "Namespace", "shop", metadata__labels={"istio-injection": "enabled", "istio.io/rev": "default"}
        ),
        ["MK0601 error"],
    ),
    "unknown revision": (
        changed("Namespace", "shop", metadata__labels={"istio.io/rev": "gone"}),
        ["MK0603 error", "MK0605 warning"],
    ),
    "a pod without proxy": (bare_pod, ["MK0604 warning"]),
    "an older proxy": (added(OLD_PROXY), ["MK0608 warning"]),
    "two policies": (added(peer("a", "STRICT"), peer("b", "STRICT")), ["MK0701 warning"]),
    "plain text to strict": (
        added(peer("a", "STRICT"), rule(trafficPolicy={"tls": {"mode": "DISABLE"}})),
        ["MK0702 error"],
    ),
    "two routes": (
        added(
            rule(subsets=[{"name": "v1", "labels": {}}]),
            virtual_service("x", "v1"),
            virtual_service("y", "v1"),
        ),
        ["MK0206 warning"],
    ),
    "no subset": (added(virtual_service("x", "v1")), ["MK0207 error"]),
    "no weight to it": (added(virtual_service("x", "v1", weight=0)), []),
    "no pod": (
        added(rule(subsets=[{"name": "v1", "labels": {"version": "v1"}}]), virtual_service("x", "v1")),
        ["MK0208 error"],
    ),
    "no backend": (added(ROUTE), ["MK0209 error"]),
    "refused route": (added(REFUSED), ["MK0210 error", "MK0254 error"]),
    "expiring soon": (
        changed("Secret", "istio-ca-secret", data={"ca-cert.pem": encoded(certificate(days=59)[0])}),
        ["MK0802 warning"],
    ),
    "expired": (
        changed("Secret", "istio-ca-secret", data={"ca-cert.pem": encoded(certificate(days=-1)[0])}),
        ["MK0801 error"],
    ),
    "no certificate": (
        changed("Secret", "istio-ca-secret", data={"ca-cert.pem": encoded("text")}),
        ["MK0803 error"],
    ),
    "unknown protocol": (
        changed("Service", "web", spec__ports=[{"port": 80, "appProtocol": "smtp"}]),
        ["MK0901 warning"],
    ),
    "no protocol": (changed("Service", "web", spec__ports=[{"port": 80}]), ["MK0902 info"]),
    "quota nearly used": (added(quota("9"), LIMITS), ["MK1001 warning"]),
    "quota without requests": (added(quota("1")), ["MK1002 error"]),
    "pod security": (
        changed(
            "Namespace",
            "shop",
            metadata__labels={
                "istio-injection": "enabled",
                "pod-security.kubernetes.io/enforce": "baseline",
            },
        ),
        ["MK1101 error"],
    ),
    "pod security without injection": (
        changed(
            "Namespace",
            "shop",
            metadata__labels={
                "istio-injection": "disabled",
                "pod-security.kubernetes.io/enforce": "baseline",
            },
        ),
        [],
    ),
    "a second mesh": (added(*linkerd()[1:]), ["MK1202 warning"]),
    "a closed port": (added(policy(15012)), ["MK1301 error"]),
    "open ports": (added(policy(15012), policy(15017)), []),
    "an old node": (
        changed("Node", "a", status__nodeInfo={"kubeletVersion": "v1.31.9"}),
        ["MK1401 error"],
    ),
    "a node that is too new": (
        changed("Node", "a", status__nodeInfo={"kubeletVersion": "v1.38.0"}),
        ["MK1408 warning"],
    ),
    "a provider's newest supported node": (
        changed("Node", "a", status__nodeInfo={"kubeletVersion": "v1.37.2-eks-1a2b3c"}),
        [],
    ),
}
LINKERD_CASES: dict[str, tuple[Callable[[Objects], None], list[str]]] = {
    "no injector": (lost("linkerd-proxy-injector"), ["MK0401 error", "MK0503 error"]),
    "a label": (
        changed("Namespace", "shop", metadata__labels={"linkerd.io/inject": "enabled"}),
        ["MK0602 warning"],
    ),
    "pod security": (
        changed("Namespace", "shop", metadata__labels={"pod-security.kubernetes.io/enforce": "baseline"}),
        ["MK1101 error"],
    ),
    "policy changed": (
        changed(
            "Namespace",
            "shop",
            metadata__annotations={"config.linkerd.io/default-inbound-policy": "all-authenticated"},
        ),
        ["MK0703 warning"],
    ),
    "unknown protocol": (
        changed("Service", "web", spec__ports=[{"port": 80, "appProtocol": "grpc"}]),
        ["MK0901 warning"],
    ),
    "issuer of another kind": (
        changed(
            "Secret",
            "linkerd-identity-issuer",
            data={
                "tls.crt": encoded(RSA_ISSUER),
                "tls.key": encoded(private(RSA_KEY)),
                "ca.crt": encoded(RSA_ISSUER),
            },
        ),
        ["MK0804 error", "MK0805 error"],
    ),
    "an anchor that ends soon": (
        changed(
            "ConfigMap",
            "linkerd-identity-trust-roots",
            data={"ca-bundle.crt": certificate(days=30, key=ROOT_KEY)[0] + certificate(days=-1)[0]},
        ),
        ["MK0802 warning", "MK0811 info"],
    ),
    "issuer of another anchor": (
        changed("ConfigMap", "linkerd-identity-trust-roots", data={"ca-bundle.crt": certificate()[0]}),
        ["MK0805 error"],
    ),
}
CASES = [
    pytest.param(mesh, *case, id=f"{mesh}-{name}")
    for mesh, cases in (("istio", ISTIO_CASES), ("linkerd", LINKERD_CASES))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("mesh", "break_it", "codes"), CASES)
def test_what_is_broken_is_found_and_nothing_else(
    mesh: str, break_it: Callable[[Objects], None], codes: list[str]
) -> None:
    objects = deepcopy(HEALTHY[mesh])
    break_it(objects)
    assert found(mesh, objects) == codes


def test_before_linkerd_the_gateway_api_must_be_there() -> None:
    assert found("linkerd", shop("linkerd"), pre=True) == ["MK1403 warning"]
    assert found("istio", shop("istio"), pre=True) == []


def test_before_a_mesh_another_control_plane_is_named() -> None:
    assert found("istio", HEALTHY["istio"], pre=True) == ["MK1201 warning"]


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_ten_thousand_objects_take_no_time(mesh: str) -> None:
    """Measured about 0.3 s here; two seconds are promised, and a slow machine gets ten."""
    objects = deepcopy(HEALTHY[mesh])
    mark = named(objects, "Namespace", "shop")["metadata"]
    for each in range(100):
        name = f"ns-{each}"
        objects.append({**named(objects, "Namespace", "shop"), "metadata": {**mark, "name": name}})
        for one in range(20):
            labels = {"app": f"web-{one}"}
            objects.append(deployment(f"web-{one}", name, labels, "web:1", 3))
            objects += [pod(f"w-{one}-{k}", name, k, labels, ("web", "w:1"), SIDECARS[mesh]) for k in "abc"]
            spec = {"selector": labels, "ports": [{"port": 80, "appProtocol": "http"}]}
            objects.append(obj("v1", "Service", f"web-{one}", name, spec=spec))
    assert len(objects) > 10_000
    begin = time.process_time()
    assert found(mesh, objects) == []
    assert time.process_time() - begin < 10
