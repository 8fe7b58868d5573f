"""Plan Linkerd's control plane: with its charts by Helm, or with meshkit's own manifests on the sandbox.

The charts do not generate the trust anchor and issuer: both must already be in the Secret
``linkerd-identity-issuer`` of type ``kubernetes.io/tls`` with ``ca.crt`` and the key pair, which is also the
format of cert-manager. So Helm's stored values never contain a private key, and Helm does not own the trust
bundle (``anchors.py``).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import yaml

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Snapshot
from meshkit.intent.mesh import ControlPlane, Resources
from meshkit.kube import kinds as kube_kinds
from meshkit.kube import manifests
from meshkit.kube.helm import merged
from meshkit.kube.kinds import CONFIG_MAP, NODE
from meshkit.kube.quantities import amount
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S
from meshkit.meshes import isolation
from meshkit.meshes.base import cannot
from meshkit.meshes.control_plane import Component, release_step, require_tested
from meshkit.meshes.gateway_api import definitions as gateway_api
from meshkit.meshes.linkerd import anchors as linkerd_anchors
from meshkit.meshes.linkerd.definitions import definitions
from meshkit.meshes.linkerd.injection import INJECT
from meshkit.meshes.linkerd.meaning.protocols import BY_DEFAULT
from meshkit.meshes.linkerd.pki import ISSUER, SECRET
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN

DEFAULT_VERSION = "edge-26.6.3"
TESTED = ("edge-26.",)
NAMESPACE = "linkerd"
PUBLISHED = "https://helm.linkerd.io/edge"
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
RESOURCES = Resources(cpu="100m", memory="50Mi")
"""The requests of a component in Linkerd's high-availability values; the default values have none."""
LIMIT = "250Mi"
"""Of memory, by the chart's own high-availability values; a request above it raises it."""
PROXY = {"cpu": "100m", "memory": "20Mi"}
"""What those values request for a proxy, the control plane's own included."""
PROXY_PORTS = (4143, 4191)
"""Where the proxies of the control plane's own pods take mesh traffic, and show their metrics."""
PORTS = {
    "identity": (*PROXY_PORTS, 8080, 9990),
    "destination": (*PROXY_PORTS, 8086, 8090, 8443, 9443, 9990, 9996, 9997),
    "proxy-injector": (*PROXY_PORTS, 8443, 9995),
}
"""Certificates; destinations, policy and the webhooks that check both; injection; admin ports."""


def control_plane_needs(intent: ControlPlane) -> tuple[Need, ...]:
    """The nodes and definitions, and for the charts the Secrets and the bundle that hold the identity."""
    if intent.charts is None:
        return (Need(NODE), Need(kube_kinds.CUSTOM_RESOURCE_DEFINITION))
    namespace = intent.namespace or NAMESPACE
    return (Need(NODE), Need(SECRET, namespace), Need(CONFIG_MAP, namespace))


def control_plane(intent: ControlPlane, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that install or change Linkerd. Raises ``BadInput`` for an invalid intent."""
    _refuse_istios(intent)
    require_tested(intent.version or DEFAULT_VERSION, TESTED, intent)
    namespace = intent.namespace or NAMESPACE
    isolation.require_room(intent, _requests(intent))
    labels = {"linkerd.io/is-control-plane": "true", "config.linkerd.io/admission-webhooks": "disabled"}
    before = [
        Step(manifests.obj(kube_kinds.NAMESPACE, namespace, labels=labels, annotations={INJECT: "disabled"})),
        *isolation.quota_steps(intent.quota, namespace),
    ]
    if intent.isolated:
        before += [
            isolation.reachable_on(f"linkerd-{name}", namespace, _selector(name), ports)
            for name, ports in PORTS.items()
        ]
    if intent.charts:
        return (*before, *_releases(intent, namespace, snapshot))
    return (
        *manifests.crd_steps((*gateway_api.definitions(snapshot), *definitions())),
        *before,
        *_manifests(intent, namespace),
    )


def _refuse_istios(intent: ControlPlane) -> None:
    if intent.gateway:
        raise cannot(
            "Linkerd",
            ControlPlane,
            "gateway",
            "Linkerd has no gateway of its own: bring an ingress controller into the mesh as any workload.",
        )
    for field in ("revision", "tags"):
        if getattr(intent, field):
            instead = "Leave it out: Linkerd has one control plane, which is upgraded in its place."
            raise cannot("Linkerd", ControlPlane, field, instead)
    if intent.cni:
        raise BadInput(
            "control_plane.cni",
            "meshkit installs Istio's CNI node agent, not Linkerd's.",
            remedy="Install the chart linkerd2-cni by Helm, and ask for values={'cniEnabled': True} here.",
        )


def _requests(intent: ControlPlane) -> list[list[dict[str, str]]]:
    """The requests of the containers of each component's pod.

    With charts every pod has a proxy, and the destination's pod has two webhooks too.
    """
    one = (intent.resources or RESOURCES).model_dump()
    if intent.charts is None:
        return [[one]] * len(PORTS)
    return [[one, PROXY], [one, one, one, PROXY], [one, PROXY]]


def _selector(component: str) -> dict[str, str]:
    return {"linkerd.io/control-plane-component": component}


def _releases(intent: ControlPlane, namespace: str, snapshot: Snapshot) -> list[Step]:
    _require_nodes(intent, snapshot)
    version = intent.version or DEFAULT_VERSION
    anchors = linkerd_anchors.trust_anchors(snapshot, namespace)
    values = merged(linkerd_values(intent, version), intent.values)
    values.setdefault("heartbeatSchedule", heartbeat_schedule(snapshot, namespace))
    bundle: list[Step] = []
    if values["identity"]["externalCA"]:
        bundle = linkerd_anchors.bundle_steps(snapshot, namespace, anchors)
    else:
        values.setdefault("identityTrustAnchorsPEM", anchors)
    places: dict[str, Any] = {"published": PUBLISHED, "version": chart_version(version)}
    # The charts of Linkerd's source tree have no version of their own; those it publishes count as years.
    places["tested"] = tuple(chart_version(tested) for tested in TESTED)
    return [
        *bundle,
        release_step("linkerd-crds", namespace, intent, {}, directories=("linkerd-crds",), **places),
        release_step(
            "linkerd-control-plane",
            namespace,
            intent,
            values,
            directories=("linkerd-control-plane",),
            **places,
        ),
    ]


def chart_version(version: str) -> str:
    """The version under which Linkerd publishes the charts of a release.

    >>> chart_version("edge-26.6.3")
    '2026.6.3'
    """
    return re.sub(r"^edge-", "20", version)


def heartbeat_schedule(snapshot: Snapshot, namespace: str) -> str:
    """The cron schedule of the daily heartbeat, derived from the issuer's Secret.

    The chart derives it from the clock, so every plan would differ; the Secret differs between meshes and is
    stable.
    """
    secret = snapshot.find("Secret", ISSUER, namespace) or {"metadata": {}}
    drawn = hashlib.sha256(str(secret["metadata"].get("uid")).encode()).digest()
    return f"{drawn[0] % 60} {drawn[1] % 24} * * *"


def linkerd_values(intent: ControlPlane, version: str) -> dict[str, Any]:
    """The values for linkerd-control-plane: its high-availability values, and requests for all containers.

    The requests make it compatible with quotas. Its anti-affinity is required between nodes and preferred
    between zones; the chart has no value for more.
    """
    requests = intent.resources or RESOURCES
    component = {
        "cpu": {"request": requests.cpu},
        "memory": {"request": requests.memory, "limit": max(LIMIT, requests.memory, key=amount)},
    }
    return {
        "linkerdVersion": version,
        "highAvailability": True,
        "controllerReplicas": intent.replicas,
        "enablePodAntiAffinity": intent.replicas > 1,
        "enablePodDisruptionBudget": True,
        "controller": {"podDisruptionBudget": {"maxUnavailable": 1}},
        "deploymentStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}},
        "webhookFailurePolicy": intent.webhook_failure.capitalize(),
        "priorityClassName": intent.priority_class or "",
        "destinationResources": component,
        "identityResources": component,
        "proxyInjectorResources": component,
        "spValidatorResources": component,
        "heartbeatResources": component,
        "policyController": {"resources": component},
        "proxy": {
            "resources": {
                "cpu": {"request": PROXY["cpu"]},
                "memory": {"request": PROXY["memory"], "limit": LIMIT},
            }
        },
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}, "externalCA": True},
    }


def _require_nodes(intent: ControlPlane, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for fewer nodes than replicas, as the chart forbids two replicas on one node."""
    nodes = len(list(snapshot.of("Node")))
    if nodes < intent.replicas:
        raise BadInput(
            "control_plane.replicas",
            f"Linkerd's charts let no two replicas share a node, and the cluster has {nodes} nodes.",
            remedy=f"Ask for replicas={max(1, nodes)}, or add nodes.",
        )


def _manifests(intent: ControlPlane, namespace: str) -> list[Step]:
    steps = [_configuration(intent, namespace)]
    for component in ("identity", "destination", "proxy-injector"):
        steps += _component(component, namespace, intent)
    hook = webhook(namespace, intent.webhook_failure.capitalize())
    return [*steps, Step(hook, wait=Wait("trusted", 60))]


def _configuration(intent: ControlPlane, namespace: str) -> Step:
    """The ConfigMap in which Linkerd's charts note their values, with those that hold without charts too."""
    values = {
        "clusterDomain": CLUSTER_DOMAIN,
        "controllerReplicas": intent.replicas,
        "identityTrustDomain": CLUSTER_DOMAIN,
        "linkerdVersion": intent.version or DEFAULT_VERSION,
        "proxy": {"opaquePorts": BY_DEFAULT},
        "webhookFailurePolicy": intent.webhook_failure.capitalize(),
    }
    labels = {"linkerd.io/control-plane-component": "controller", "linkerd.io/control-plane-ns": namespace}
    data = {"values": yaml.safe_dump(values)}
    return Step(manifests.obj(CONFIG_MAP, "linkerd-config", namespace, labels=labels, data=data))


_READ = "get list watch"
_EVERY_COMPONENT = (
    manifests.rule(
        [""], ["pods", "services", "namespaces", "nodes", "configmaps", "secrets", "serviceaccounts"], _READ
    ),
    manifests.rule(["apps"], ["deployments", "replicasets"], _READ),
    manifests.rule(["discovery.k8s.io"], ["endpointslices"], _READ),
    manifests.rule(["gateway.networking.k8s.io", "policy.linkerd.io"], ["*"], _READ),
    manifests.rule(["linkerd.io"], ["serviceprofiles"], _READ),
    manifests.rule(["coordination.k8s.io"], ["leases"], "get list watch create update patch"),
    manifests.rule(["", "events.k8s.io"], ["events"], "create patch"),
)
_SECRETS = manifests.rule([""], ["configmaps", "secrets"], "create update patch")
_MORE_RULES = {
    "identity": (_SECRETS, manifests.rule(["authentication.k8s.io"], ["tokenreviews"], "create")),
    "destination": (
        manifests.rule(
            ["gateway.networking.k8s.io", "policy.linkerd.io"],
            ["httproutes/status", "grpcroutes/status"],
            "update patch",
        ),
    ),
    "proxy-injector": (
        _SECRETS,
        manifests.rule(
            ["admissionregistration.k8s.io"], ["mutatingwebhookconfigurations"], "get list watch update patch"
        ),
    ),
}
_PORTS: dict[str, dict[str, int]] = {
    "identity": {"ident-grpc": 8080, "ident-admin": 9990},
    "destination": {"dest-grpc": 8086, "policy-grpc": 8090, "dest-admin": 9996},
    "proxy-injector": {"proxy-injector": 8443, "injector-admin": 9995},
}
_READY_PORTS = {"identity": 9990, "destination": 9996, "proxy-injector": 9995}
_SERVICES: dict[str, dict[str, dict[str, tuple[int, int]]]] = {
    "identity": {"linkerd-identity": {"grpc": (8080, 8080)}},
    "destination": {"linkerd-dst": {"grpc": (8086, 8086)}, "linkerd-policy": {"grpc": (8090, 8090)}},
    "proxy-injector": {"linkerd-proxy-injector": {"proxy-injector": (443, 8443)}},
}


def _component(component: str, namespace: str, intent: ControlPlane) -> list[Step]:
    name = f"linkerd-{component}"
    selector = {"linkerd.io/control-plane-component": component}
    labels = {**selector, "linkerd.io/control-plane-ns": namespace}
    resources = intent.resources or RESOURCES
    workload = Component(
        name=name,
        container=component,
        image=f"ghcr.io/linkerd/controller:{intent.version or DEFAULT_VERSION}",
        args=(component,),
        account=name,
        ports=_PORTS[component],
        ready_port=_READY_PORTS[component],
        cpu=resources.cpu,
        memory=resources.memory,
    )
    deployment = workload.deployment(namespace, labels, selector, intent)
    role = f"{name}-{namespace}"
    return [
        Step(manifests.service_account(name, namespace, labels)),
        Step(manifests.cluster_role(role, labels, (*_EVERY_COMPONENT, *_MORE_RULES[component]))),
        Step(manifests.cluster_role_binding(role, name, namespace, labels)),
        *(
            Step(manifests.service(service, namespace, labels, selector, ports))
            for service, ports in _SERVICES[component].items()
        ),
        Step(manifests.disruption_budget(name, namespace, labels, selector)),
        Step(deployment, wait=Wait("available", ROLLOUT_TIMEOUT_S)),
    ]


def webhook(namespace: str, failure: str) -> dict[str, Any]:
    """The injector's webhook, as in Linkerd's charts."""
    exempt = ["kube-system", "cert-manager"]
    of_namespace = [
        {"key": "config.linkerd.io/admission-webhooks", "operator": "NotIn", "values": ["disabled"]},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": exempt},
    ]
    of_pod = [
        {"key": "linkerd.io/control-plane-component", "operator": "DoesNotExist"},
        {"key": "linkerd.io/cni-resource", "operator": "DoesNotExist"},
    ]
    service = {"name": "linkerd-proxy-injector", "namespace": namespace, "path": "/", "port": 443}
    name = "linkerd-proxy-injector.linkerd.io"
    asked = manifests.pod_webhook(name, service, failure, of_namespace, of_pod, ("pods", "services"))
    webhook = {**asked, "timeoutSeconds": 10}
    labels = {
        "linkerd.io/control-plane-component": "proxy-injector",
        "linkerd.io/control-plane-ns": namespace,
    }
    return manifests.obj(WEBHOOK, "linkerd-proxy-injector-webhook-config", labels=labels, webhooks=[webhook])
