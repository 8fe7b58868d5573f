"""An indexed view of one mesh in a Snapshot, for checks."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from meshkit.facts import Kind, Object, Snapshot
from meshkit.kube.kinds import ZONE
from meshkit.kube.metadata import labels
from meshkit.kube.pods import is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.injection import proxies, rules_of, webhooks
from meshkit.meshes.model.registry import Registry


@dataclass(frozen=True)
class View:
    """One mesh in a Snapshot. ``now`` is the time when the Snapshot was read."""

    snapshot: Snapshot
    mesh: str
    now: dt.datetime
    _registries: dict[tuple[tuple[str, Kind], ...], Registry] = field(
        default_factory=dict, compare=False, repr=False
    )

    def registry(self, kinds: Mapping[str, Kind]) -> Registry:
        """The objects of these kinds as a mesh's meaning reads them, indexed once for all checks."""
        key = tuple(kinds.items())
        if key not in self._registries:
            self._registries[key] = Registry.reading(self.snapshot.objects, kinds, self.home)
        return self._registries[key]

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Object]]:
        index: dict[str, list[Object]] = defaultdict(list)
        for obj in self.snapshot.objects:
            index[obj["kind"]].append(obj)
        return index

    @cached_property
    def _by_namespace(self) -> Mapping[tuple[str, str | None], Sequence[Object]]:
        index: dict[tuple[str, str | None], list[Object]] = defaultdict(list)
        for obj in self.snapshot.objects:
            index[obj["kind"], obj["metadata"].get("namespace")].append(obj)
        return index

    def of(self, kind: str, namespace: str | None = None) -> Sequence[Object]:
        """The objects of a kind, in one namespace or in all."""
        if namespace is None:
            return self._by_kind.get(kind, ())
        return self._by_namespace.get((kind, namespace), ())

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """The names of all namespaces that are known: by an object of their own or by one in them."""
        named = {item["metadata"]["name"] for item in self.of("Namespace")}
        return frozenset(
            named | {str(obj["metadata"].get("namespace") or "") for obj in self.snapshot.objects} - {""}
        )

    def within(self, namespace: Object) -> Snapshot:
        """A small Snapshot of one namespace and the webhooks, for functions that scan all objects."""
        name = namespace["metadata"]["name"]
        groups = (objects for (_, where), objects in self._by_namespace.items() if where == name)
        inside = (obj for objects in groups for obj in objects)
        return Snapshot((namespace, *self.of("MutatingWebhookConfiguration"), *inside))

    @cached_property
    def components(self) -> Sequence[Object]:
        """The Deployments of the control plane."""
        return list(filter(facts_of(self.mesh).is_component, self.of("Deployment")))

    @cached_property
    def home(self) -> str:
        """The control plane's namespace, or the usual one if there is no control plane."""
        for component in self.components:
            return str(component["metadata"]["namespace"])
        return facts_of(self.mesh).home

    def named(self, kind: str, name: str) -> Object | None:
        """Return an object in the control plane's namespace by name, or None."""
        return next((obj for obj in self.of(kind, self.home) if obj["metadata"]["name"] == name), None)

    def pods_of(self, deployment: Object) -> list[Object]:
        """The live pods of a Deployment."""
        selector = deployment["spec"]["selector"].get("matchLabels") or {}
        namespace = deployment["metadata"]["namespace"]
        return [pod for pod in self.of("Pod", namespace) if is_live(pod) and selects(selector, pod)]

    @cached_property
    def meshed(self) -> Sequence[Object]:
        """The live pods with a proxy of this mesh, except those in the control plane's namespace."""
        return [
            pod for pod in proxies(self.of("Pod"), self.mesh) if pod["metadata"]["namespace"] != self.home
        ]

    @cached_property
    def sidecarless(self) -> Sequence[Object]:
        """The live pods that are in this mesh without a sidecar."""
        return rules_of(self.mesh).without_sidecar(self.of("Pod"), self.of("Namespace"))

    @cached_property
    def meshed_namespaces(self) -> frozenset[str]:
        """The namespaces with at least one meshed pod."""
        return frozenset(pod["metadata"]["namespace"] for pod in self.meshed)

    @cached_property
    def hooks(self) -> Sequence[Mapping[str, Any]]:
        """The injection webhooks of this mesh."""
        return tuple(webhooks(self.snapshot, self.mesh))

    @cached_property
    def validators(self) -> Sequence[Mapping[str, Any]]:
        """The validating webhooks that call this control plane."""
        return tuple(
            hook
            for configuration in self.of("ValidatingWebhookConfiguration")
            for hook in configuration.get("webhooks") or ()
            if (hook["clientConfig"].get("service") or {}).get("namespace") == self.home
        )

    def zone_of(self, pod: Object) -> str | None:
        """The zone of a pod's node."""
        return self.zones.get(str((pod.get("spec") or {}).get("nodeName")))

    @cached_property
    def zones(self) -> Mapping[str, str | None]:
        """The zone of each node."""
        return {node["metadata"]["name"]: labels(node).get(ZONE) for node in self.of("Node")}


NEEDED = tuple(
    Kind(version, kind)
    for version, kinds in {
        "v1": "Node Namespace Pod Service ResourceQuota LimitRange",
        "apps/v1": "Deployment StatefulSet DaemonSet",
        "policy/v1": "PodDisruptionBudget",
        "networking.k8s.io/v1": "NetworkPolicy",
        "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
        "gateway.networking.k8s.io/v1": "HTTPRoute GRPCRoute Gateway",
    }.items()
    for kind in kinds.split()
)
"""What is read of the whole cluster for the checks of any mesh."""
NEEDED_AT_HOME = (
    *(Kind("v1", kind) for kind in ("Secret", "ConfigMap", "ServiceAccount")),
    Kind("batch/v1", "CronJob"),
)
"""What is read of the control plane's namespace."""
