"""Predict which pods get a sidecar, and why the others do not.

The API server calls an injector only for pods that the selectors of its MutatingWebhookConfiguration select.
This module evaluates the live webhooks, so revisions and edited webhooks are taken into account. The decision
of the injector itself differs between meshes and is part of ``Injection``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshkit.facts import Object, Snapshot
from meshkit.kube.metadata import Labels, annotations_of, labels
from meshkit.kube.pods import all_containers, has_sidecar, is_live
from meshkit.kube.selectors import selects
from meshkit.kube.selectors import unmet as unmet_terms

DEFAULT_REVISION = "default"
"""The name of the default revision, the only one of a mesh without revisions."""
_RESTARTED = ("Deployment", "StatefulSet", "DaemonSet")


def _asks_nothing(template: Object) -> bool:
    del template
    return False


def _none_of_service(service: Object, home: Object) -> Mapping[str, str]:
    del service, home
    return {}


def _none_without_sidecar(template: Object, home: Object) -> str:
    del template, home
    return ""


class ProxyOrigin(NamedTuple):
    """The revision and the version of the control plane that injected a pod's proxy."""

    revision: str
    version: str


@dataclass(frozen=True)
class Injection:
    """The injection rules of a mesh, and how to recognize its proxies."""

    sidecar: str
    """The name of the proxy container."""
    webhook: str
    """The suffix of its webhooks' names."""
    mark: str
    """The label or annotation of a namespace that usually enables injection."""
    pin: str
    """The annotation of a pod that sets the proxy's version or image."""
    refusal: Callable[[Object], str]
    """Why a pod template opts out of injection, regardless of its namespace; empty if it does not."""
    decision: Callable[[Object, Object, Mapping[str, Any]], tuple[bool, str]]
    """Whether the injector adds a sidecar, and the reason, from a pod template, its namespace and the webhook
    that the API server calls for its pods."""
    marked: Callable[[Object], Object]
    """The namespace as it is after the intent ``Injection`` is applied."""
    asked: Callable[[Object], str]
    """The revision or tag that a namespace requests; empty if it does not request injection."""
    request: Callable[[Object], str]
    """The label or annotation by which a namespace requests injection (``key=value``); else empty."""
    origin: Callable[[Object], ProxyOrigin]
    """The revision and version of the control plane that injected a pod's proxy."""
    opting_out: Mapping[str, Labels] = field(default_factory=dict)
    """The labels and annotations (``labels`` and ``annotations``) by which a pod template opts out."""
    asks: Callable[[Object], bool] = _asks_nothing
    """Whether a pod template requests injection itself, in a namespace that does not."""
    sidecarless: Callable[[Object, Object], str] = _none_without_sidecar
    """The label or annotation (``key=value``) by which a pod or template, in its namespace, is in the mesh
    without a sidecar; else empty."""
    of_service: Callable[[Object, Object], Mapping[str, str]] = _none_of_service
    """The annotations that the injector adds to a new Service in its namespace."""

    def expects_sidecar(self, template: Object, home: Object) -> bool:
        """Whether new pods of a template get a sidecar in a namespace where the mesh's usual webhooks run."""
        if self.opted_out(template):
            return False
        return bool(self.asked(home)) or self.asks(template)

    def webhooks(self, snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
        """The injection webhooks of the mesh in the cluster."""
        for configuration in snapshot.of("MutatingWebhookConfiguration"):
            for hook in configuration.get("webhooks") or ():
                if str(hook["name"]).endswith(self.webhook):
                    yield hook

    def opted_out(self, template: Object) -> str:
        """Why a workload opts out of injection, or empty."""
        if (template.get("spec") or {}).get("hostNetwork"):
            return "it uses the host's network, whose traffic a sidecar cannot capture"
        return self.refusal(template)

    def runs_sidecar(self, pod: Object) -> bool:
        """Whether a pod has the mesh's proxy."""
        return has_sidecar(pod, self.sidecar)

    def proxies(self, pods: Iterable[Object]) -> list[Object]:
        """The live pods among these that have the mesh's proxy."""
        return [pod for pod in pods if is_live(pod) and self.runs_sidecar(pod)]

    def without_sidecar(self, pods: Iterable[Object], namespaces: Iterable[Object]) -> list[Object]:
        """The live pods among these that are in the mesh without a sidecar."""
        homes = {home["metadata"]["name"]: home for home in namespaces}
        return [pod for pod in pods if is_live(pod) and self.sidecarless(pod, _home(pod, homes))]

    def pinned(self, workload: Object) -> bool:
        """Whether a workload's template sets its proxy itself, so that injectors do not change it.

        It does so by a proxy container with an image (other than ``auto``) or by an annotation.
        """
        template = workload["spec"].get("template") or {}
        containers = [one for one in all_containers(template) if one["name"] == self.sidecar]
        has_image = any(container.get("image") != "auto" for container in containers)
        return has_image or self.pin in annotations_of(template)


@dataclass(frozen=True)
class Injected:
    """The injection of one workload: whether its next pod gets a sidecar, why, and its present pods."""

    workload: str
    """``Deployment shop/web-v1``."""
    will: bool
    """Whether a new pod gets a sidecar."""
    why: str
    pods: int
    meshed: int
    opted_out: bool = False
    """The workload itself opts out; its owner must change that."""
    sidecarless: int = 0
    """The number of pods that are in the mesh without a sidecar."""
    needs_none: bool = False
    """A new pod is in the mesh without a sidecar."""

    @property
    def settled(self) -> bool:
        """Whether all pods have what a new pod would get."""
        return self.meshed == (self.pods if self.will else 0)

    @property
    def outside(self) -> int:
        """The number of pods that are not in the mesh."""
        return self.pods - self.meshed - self.sidecarless


def rules_of(mesh: str) -> Injection:
    """The injection rules of a mesh. Raises UnknownName."""
    from meshkit.meshes import registry  # imported late to avoid an import cycle

    return registry.mesh(mesh).injection


def injected(snapshot: Snapshot, mesh: str, namespace: str, *, marked: bool = False) -> tuple[Injected, ...]:
    """The injection of all workloads of a namespace. ``marked`` assumes that injection is enabled there."""
    rules = rules_of(mesh)
    home = snapshot.find("Namespace", namespace) or {"kind": "Namespace", "metadata": {"name": namespace}}
    if marked:
        home = rules.marked(home)
    hooks = tuple(rules.webhooks(snapshot))
    return tuple(
        _injected(owner, pods, template, home, hooks, rules)
        for owner, template, pods in _workloads(snapshot, namespace)
    )


def webhooks(snapshot: Snapshot, mesh: str) -> Iterator[Mapping[str, Any]]:
    """The injection webhooks of a mesh in the cluster."""
    return rules_of(mesh).webhooks(snapshot)


def runs_sidecar(pod: Object, mesh: str) -> bool:
    """Whether a pod has the mesh's proxy."""
    return rules_of(mesh).runs_sidecar(pod)


def proxies(pods: Iterable[Object], mesh: str) -> list[Object]:
    """The live pods among these that have the mesh's proxy."""
    return rules_of(mesh).proxies(pods)


def proxy_origin(pod: Object, mesh: str) -> ProxyOrigin:
    """The revision and the version of the control plane that injected a pod's proxy."""
    return rules_of(mesh).origin(pod)


def _home(pod: Object, homes: Mapping[str, Object]) -> Object:
    name = str(pod["metadata"]["namespace"])
    return homes.get(name) or {"kind": "Namespace", "metadata": {"name": name}}


def _injected(
    owner: str,
    pods: list[Object],
    template: Object,
    home: Object,
    hooks: tuple[Mapping[str, Any], ...],
    rules: Injection,
) -> Injected:
    will, why = _decision(rules, template, home, hooks)
    by = "" if will else rules.sidecarless(template, home)
    return Injected(
        workload=owner,
        will=will,
        why=f"it needs none: {by}" if by else why,
        pods=len(pods),
        meshed=sum(map(rules.runs_sidecar, pods)),
        opted_out=bool(rules.opted_out(template)) and not by,
        sidecarless=sum(bool(rules.sidecarless(pod, home)) for pod in pods),
        needs_none=bool(by),
    )


def _decision(
    rules: Injection, template: Object, home: Object, hooks: tuple[Mapping[str, Any], ...]
) -> tuple[bool, str]:
    """Whether a pod of this template gets a sidecar in this namespace, and the reason."""
    refused = rules.opted_out(template)
    if refused:
        return False, refused
    if not hooks:
        return False, "no injector is installed in this cluster"
    chosen = [hook for hook in hooks if not _unmet(hook, home, template)]
    if not chosen:
        lacking = (_unmet(hook, home, template) for hook in hooks)
        return False, min(lacking, key=lambda unmet: _nearness(unmet, rules.mark))[0]
    if not all(hook["clientConfig"].get("caBundle") for hook in chosen):
        return False, "the injector's webhook has no CA yet: new pods would be refused"
    return rules.decision(template, home, chosen[0])


def _nearness(unmet: list[str], mark: str) -> tuple[int, bool]:
    """Sort key: fewest unmet selector terms first; among equals, the one that lacks the usual label."""
    return len(unmet), not any(mark in sentence for sentence in unmet)


def _unmet(hook: Mapping[str, Any], home: Object, template: Object) -> list[str]:
    """The terms of a webhook's selectors that are not met, as sentences."""
    name = home["metadata"]["name"]
    of_namespace = {"kubernetes.io/metadata.name": name, **labels(home)}
    of_pod = (template.get("metadata") or {}).get("labels") or {}
    return [
        *_fails(hook.get("namespaceSelector") or {}, of_namespace, f"its namespace {name}"),
        *_fails(hook.get("objectSelector") or {}, of_pod, "its pods"),
    ]


def _fails(selector: Mapping[str, Any], carried: Labels, whose: str) -> Iterator[str]:
    for term in unmet_terms(selector, carried):
        key, values = term["key"], term.get("values") or []
        has, listed = carried.get(key), " or ".join(values)
        match term["operator"]:
            case "In":
                now = f"{key}={has}" if has is not None else f"no label {key}"
                yield f"{whose} {'carry' if whose.endswith('pods') else 'carries'} {now} (wanted: {listed})"
            case "NotIn":
                yield f"the webhook leaves out {key}={has}, which {whose} has"
            case "Exists":
                yield f"{whose} lacks the label {key}"
            case "DoesNotExist":
                yield f"the webhook leaves out whatever carries {key}, as {whose} does"


def _workloads(snapshot: Snapshot, namespace: str) -> Iterator[tuple[str, Object, list[Object]]]:
    """Name, pod template and live pods of each workload; a pod without a workload is its own workload."""
    living = [pod for pod in snapshot.of("Pod", namespace) if is_live(pod)]
    by_label: dict[tuple[str, str], list[Object]] = {}
    for pod in living:
        for label in labels(pod).items():
            by_label.setdefault(label, []).append(pod)
    claimed: set[str] = set()
    for kind in _RESTARTED:
        for owner in snapshot.of(kind, namespace):
            wanted = owner["spec"]["selector"].get("matchLabels") or {}
            fewest = min((by_label.get(label, []) for label in wanted.items()), key=len, default=living)
            pods = [pod for pod in fewest if selects(wanted, pod)]
            claimed |= {pod["metadata"]["name"] for pod in pods}
            yield f"{kind} {namespace}/{owner['metadata']['name']}", owner["spec"]["template"], pods
    for pod in living:
        if pod["metadata"]["name"] not in claimed:
            yield f"Pod {namespace}/{pod['metadata']['name']}", pod, [pod]
