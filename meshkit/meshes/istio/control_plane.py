"""Plan istiod: with Istio's charts by Helm, or with meshkit's own manifests on the sandbox.

The webhook is applied after istiod, because without an injector it refuses pods. The CNI node agent is
applied before istiod, which injects pods that rely on it. The gateway is last, because its proxy is injected.
"""

from __future__ import annotations

import json
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Snapshot
from meshkit.intent.mesh import ControlPlane, Resources
from meshkit.kube import kinds as kube_kinds
from meshkit.kube import manifests
from meshkit.kube.helm import merged
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S
from meshkit.meshes import isolation
from meshkit.meshes.control_plane import Component, release_step, require_tested
from meshkit.meshes.definitions import crds
from meshkit.meshes.istio import extras as istio_extras
from meshkit.meshes.istio.metrics import STATS_MATCHER
from meshkit.meshes.istio.revisions import DEFAULT, REVISION, Revision, tag_webhook, webhook

DEFAULT_VERSION = "1.31.4"
TESTED = ("1.30.", "1.31.")
NAMESPACE = "istio-system"
PUBLISHED = "oci://ghcr.io/istio/release/charts"
HUB = "docker.io/istio"
"""Istio's image registry since 1.31; the charts in its source tree have another default."""
RESOURCES = Resources(cpu="500m", memory="2048Mi")
"""The chart's resource requests for istiod."""
PORTS = (15012, 15014, 15017, 8080)
"""Configuration and certificates for proxies, metrics, webhooks, readiness. Not 15010: configuration in plain
text, which no proxy of a released Istio asks for."""
VALIDATOR = Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")


def control_plane(intent: ControlPlane, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that install or change istiod. Raises ``BadInput`` for an invalid intent."""
    require_tested(intent.version or DEFAULT_VERSION, TESTED, intent)
    resources = intent.resources or RESOURCES
    agents = [istio_extras.CNI_REQUESTS for _ in snapshot.of("Node")] if intent.cni else []
    isolation.require_room(intent, [[resources.model_dump()]], agents)
    namespace = intent.namespace or NAMESPACE
    istio_extras.require_apart(intent.gateway, namespace)
    before = [
        Step(manifests.obj(kube_kinds.NAMESPACE, namespace)),
        *isolation.quota_steps(intent.quota, namespace),
    ]
    if intent.isolated:
        before.append(isolation.reachable_on("istiod", namespace, {"app": "istiod"}, PORTS))
    if intent.charts:
        default = revision_of(intent).label if DEFAULT in intent.tags else default_revision(snapshot)
        return (*before, *_releases(intent, namespace, resources, default), *_tags(intent, namespace))
    definitions = manifests.crd_steps(crds("istio"))
    return (*definitions, *before, *_manifests(intent, namespace, resources), *_tags(intent, namespace))


def revision_of(intent: ControlPlane) -> Revision:
    """The revision that an intent installs."""
    return Revision(intent.revision or "")


def _tags(intent: ControlPlane, namespace: str) -> list[Step]:
    """The steps for tags. They are outside the release, as Helm would not let another release adopt them."""
    failure = intent.webhook_failure.capitalize()
    hooks = [tag_webhook(tag, revision_of(intent), namespace, failure) for tag in intent.tags]
    return [Step(hook, wait=Wait("trusted", 60)) for hook in hooks]


def default_revision(snapshot: Snapshot) -> str:
    """The revision that validates Istio's objects now, or empty."""
    found = snapshot.find(VALIDATOR.kind, "istiod-default-validator") or {"metadata": {}}
    return str((found["metadata"].get("labels") or {}).get(REVISION, ""))


def _releases(intent: ControlPlane, namespace: str, resources: Resources, default: str) -> list[Step]:
    if intent.webhook_failure != "fail":
        raise BadInput(
            "control_plane.webhook_failure",
            "Istio's charts support only 'fail'.",
            remedy="Leave it out; exempt single namespaces with the label istio-injection=disabled.",
        )
    version = intent.version or DEFAULT_VERSION
    places: dict[str, Any] = {"published": PUBLISHED, "version": version, "tested": TESTED}
    base: dict[str, Any] = {"global": {"istioNamespace": namespace}}
    if default:
        base["defaultRevision"] = default
    values = merged(istiod_values(intent, namespace, version, resources), intent.values)
    require_drains(intent, values)
    images = {key: values["global"][key] for key in ("hub", "tag")}
    return [
        release_step("istio-base", namespace, intent, base, directories=("base",), **places),
        *([istio_extras.cni_step(namespace, intent, images, places)] if intent.cni else []),
        release_step(
            revision_of(intent).named("istiod"),
            namespace,
            intent,
            values,
            directories=("istiod", "istio-control/istio-discovery"),
            **places,
        ),
        *(istio_extras.gateway_steps(intent.gateway, intent, places) if intent.gateway else []),
    ]


def istiod_values(intent: ControlPlane, namespace: str, version: str, resources: Resources) -> dict[str, Any]:
    """The values for the istiod chart.

    The chart's own budget keeps one replica, so a drain could evict all others at once; the budget here
    allows one eviction at a time. The proxies expose the connections that they refuse.
    """
    cni = {"cni": {"enabled": True}} if intent.cni else {}
    revision = revision_of(intent)
    return {
        **cni,
        **({"revision": revision.name} if revision.name else {}),
        "autoscaleEnabled": False,
        "replicaCount": intent.replicas,
        "rollingMaxSurge": 1,
        "rollingMaxUnavailable": 1,
        "resources": {"requests": resources.model_dump()},
        "topologySpreadConstraints": manifests.spread(revision.labels) if intent.zones > 1 else [],
        "pdb": {"maxUnavailable": 1},
        "meshConfig": {"defaultConfig": {"proxyStatsMatcher": STATS_MATCHER}},
        "global": {
            "istioNamespace": namespace,
            "hub": HUB,
            "tag": version,
            "priorityClassName": intent.priority_class or "",
        },
    }


def require_drains(intent: ControlPlane, values: dict[str, Any]) -> None:
    """Raise ``BadInput`` for values whose budget would block every drain."""
    budget = values["pdb"]
    kept, taken = budget.get("minAvailable"), budget.get("maxUnavailable")
    blocks = taken in (0, "0", "0%") or kept == "100%" or (taken is None and _count(kept) >= intent.replicas)
    if blocks:
        raise BadInput(
            "control_plane.values.pdb",
            f"of {intent.replicas} replicas none could be evicted, so no node could be drained.",
            remedy="Leave pdb out, or let one replica be unavailable.",
        )


def _count(written: object) -> int:
    return int(str(written)) if str(written).isdigit() else 0


def _manifests(intent: ControlPlane, namespace: str, resources: Resources) -> list[Step]:
    revision = revision_of(intent)
    name, labels, selector = revision.named("istiod"), revision.labels, revision.selector
    istiod = Component(
        name=name,
        container="discovery",
        image=f"{HUB}/pilot:{intent.version or DEFAULT_VERSION}",
        args=("discovery",),
        account=name,
        ports={"http-debug": 8080, "grpc-xds": 15010, "https-webhooks": 15017, "http-monitoring": 15014},
        ready_port=8080,
        cpu=resources.cpu,
        memory=resources.memory,
        environment={"REVISION": revision.label},
    )
    ports = {
        "grpc-xds": (15010, 15010),
        "https-dns": (15012, 15012),
        "https-webhook": (443, 15017),
        "http-monitoring": (15014, 15014),
    }
    # istiod's pods match the webhook of their own revision: without this none could start once all are gone.
    uninjected = {**labels, "sidecar.istio.io/inject": "false"}
    deployment = istiod.deployment(namespace, uninjected, selector, intent)
    config = manifests.obj(
        CONFIG_MAP, revision.named("istio"), namespace, labels=labels, data=_mesh_config(namespace)
    )
    hook = webhook(revision, namespace, intent.webhook_failure.capitalize())
    return [
        Step(manifests.service_account(name, namespace, labels)),
        Step(manifests.cluster_role(f"{name}-{namespace}", labels, _RULES)),
        Step(manifests.cluster_role_binding(f"{name}-{namespace}", name, namespace, labels)),
        Step(config),
        Step(manifests.service(name, namespace, labels, selector, ports)),
        Step(manifests.disruption_budget(name, namespace, labels, selector)),
        Step(deployment, wait=Wait("available", ROLLOUT_TIMEOUT_S)),
        Step(hook, wait=Wait("trusted", 60)),
    ]


_RULES = (
    manifests.rule(
        [""],
        ["pods", "services", "endpoints", "namespaces", "nodes", "configmaps", "secrets", "serviceaccounts"],
        "get list watch",
    ),
    manifests.rule([""], ["configmaps", "secrets"], "create update patch"),
    manifests.rule(["", "events.k8s.io"], ["events"], "create patch"),
    manifests.rule(["apps"], ["deployments", "replicasets"], "get list watch"),
    manifests.rule(["discovery.k8s.io"], ["endpointslices"], "get list watch"),
    manifests.rule(["coordination.k8s.io"], ["leases"], "get list watch create update patch"),
    manifests.rule(["networking.istio.io", "security.istio.io"], ["*"], "get list watch"),
    manifests.rule(["gateway.networking.k8s.io"], ["*"], "get list watch"),
    manifests.rule(["gateway.networking.k8s.io"], ["httproutes/status", "grpcroutes/status"], "update patch"),
    manifests.rule(
        ["admissionregistration.k8s.io"], ["mutatingwebhookconfigurations"], "get list watch update patch"
    ),
    manifests.rule(
        ["admissionregistration.k8s.io"], ["validatingwebhookconfigurations"], "get list watch update"
    ),
    manifests.rule(["apiextensions.k8s.io"], ["customresourcedefinitions"], "get list watch"),
    manifests.rule(["authentication.k8s.io"], ["tokenreviews"], "create"),
    manifests.rule(["authorization.k8s.io"], ["subjectaccessreviews"], "create"),
)


def _mesh_config(namespace: str) -> dict[str, str]:
    """The mesh config: automatic mutual TLS, the access log on standard output, and the count of refusals."""
    lines = (
        "accessLogFile: /dev/stdout",
        "defaultConfig:",
        f"  proxyStatsMatcher: {json.dumps(STATS_MATCHER)}",
        "enableAutoMtls: true",
        f"rootNamespace: {namespace}",
        "trustDomain: cluster.local",
    )
    return {"mesh": "\n".join(lines) + "\n", "meshNetworks": "networks: {}\n"}
