"""Which pods get a sidecar, and why the others do not: what the API server and the injector will decide.

The API server asks an injector only for pods that the selectors of its MutatingWebhookConfiguration choose;
the live ones are evaluated here, so a revision or an edited webhook is answered as it is. The injector then
has a word of its own: it leaves pods on the host's network alone, and Linkerd's decides by annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshkit.facts import Object, Snapshot
from meshkit.kube.metadata import notes
from meshkit.kube.pods import has_sidecar, is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.istio.revisions import DEFAULT, INJECTION, REVISION

ISTIO_INJECT = "sidecar.istio.io/inject"
LINKERD_INJECT = "linkerd.io/inject"
LINKERD_INJECTS = ("enabled", "ingress")
"""What LINKERD_INJECT says where it asks for a proxy."""
_WEBHOOK_OF = {"istio": "sidecar-injector.istio.io", "linkerd": "linkerd-proxy-injector.linkerd.io"}
SIDECAR = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}
"""Mesh -> the container of its proxy."""


_OWN_IMAGES = ("/pilot", "linkerd/controller")


class ControlPlaneMark(NamedTuple):
    """Where a control plane usually is, and the label of its Deployments with the values that it takes."""

    home: str
    label: str
    values: tuple[str, ...]


CONTROL_PLANE = {
    "istio": ControlPlaneMark("istio-system", "app", ("istiod",)),
    "linkerd": ControlPlaneMark(
        "linkerd", "linkerd.io/control-plane-component", ("destination", "identity", "proxy-injector")
    ),
}
_RESTARTED = ("Deployment", "StatefulSet", "DaemonSet")

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Injected:
    """One workload: what happens to its next pod, why, and what its pods run now."""

    workload: str
    """``Deployment shop/web-v1``."""
    will: bool
    """Whether a pod made now gets a sidecar."""
    why: str
    pods: int
    meshed: int
    opted_out: bool = False
    """The workload itself says no; whoever owns it must change that."""

    @property
    def settled(self) -> bool:
        """Every pod runs what a new one would."""
        return self.meshed == (self.pods if self.will else 0)


def injected(snapshot: Snapshot, mesh: str, namespace: str, *, marked: bool = False) -> tuple[Injected, ...]:
    """Every workload of a namespace. ``marked`` answers as if the namespace asked for injection already."""
    found = snapshot.find("Namespace", namespace)
    home = found or {"kind": "Namespace", "metadata": {"name": namespace}}
    if marked:
        home = _marked(home, mesh)
    hooks = tuple(webhooks(snapshot, mesh))
    return tuple(
        _injected(owner, pods, template, home, hooks, mesh)
        for owner, template, pods in _workloads(snapshot, namespace)
    )


def webhooks(snapshot: Snapshot, mesh: str) -> Iterator[Mapping[str, Any]]:
    """The injection webhooks of a mesh that the cluster holds."""
    for configuration in snapshot.of("MutatingWebhookConfiguration"):
        for hook in configuration.get("webhooks") or ():
            if str(hook["name"]).endswith(_WEBHOOK_OF[mesh]):
                yield hook


def opted_out(mesh: str, template: Object) -> str:
    """Why a workload refuses a sidecar whatever its namespace says; empty when it does not."""
    if (template.get("spec") or {}).get("hostNetwork"):
        return "it uses the host's network, whose traffic a sidecar cannot capture"
    meta = template.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if mesh == "istio":
        for where, values in (("label", labels), ("annotation", annotations)):
            if values.get(ISTIO_INJECT) == "false":
                return f"its pods carry the {where} {ISTIO_INJECT}=false"
    elif annotations.get(LINKERD_INJECT) == "disabled":
        return f"its pods carry the annotation {LINKERD_INJECT}=disabled"
    return ""


def _injected(
    owner: str,
    pods: list[Object],
    template: Object,
    home: Object,
    hooks: tuple[Mapping[str, Any], ...],
    mesh: str,
) -> Injected:
    will, why = _decision(mesh, template, home, hooks)
    return Injected(
        workload=owner,
        will=will,
        why=why,
        pods=len(pods),
        meshed=sum(runs_sidecar(pod, mesh) for pod in pods),
        opted_out=bool(opted_out(mesh, template)),
    )


def runs_sidecar(pod: Object, mesh: str) -> bool:
    """Whether a pod has the mesh's proxy."""
    return has_sidecar(pod, SIDECAR[mesh])


def proxies(pods: Iterable[Object], mesh: str) -> list[Object]:
    """The live pods among these that have the mesh's proxy."""
    return [pod for pod in pods if is_live(pod) and runs_sidecar(pod, mesh)]


def made_by(pod: Object, mesh: str) -> tuple[str, str]:
    """The revision and the version of the control plane that a pod's proxy came from."""
    if mesh == "linkerd":
        return DEFAULT, str(notes(pod).get("linkerd.io/proxy-version", ""))
    spec = pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *spec.get("containers", ()))
    image = next(str(each["image"]) for each in containers if each["name"] == SIDECAR[mesh])
    return str(notes(pod).get(REVISION, DEFAULT)), tag_of(image)


_PINS = {"istio": "sidecar.istio.io/proxyImage", "linkerd": "config.linkerd.io/proxy-version"}


def pinned(workload: Object, mesh: str) -> bool:
    """Whether a workload's template names its proxy itself, so that no injector decides over it: a container
    with an image of its own (``auto`` asks for the injector's), or an annotation.
    """
    template = workload["spec"].get("template") or {}
    spec = template.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    own = (each for each in containers if each["name"] == SIDECAR[mesh])
    return any(each.get("image") != "auto" for each in own) or _PINS[mesh] in notes(template)


def revision_of(component: Object, mesh: str) -> str:
    """The revision of a Deployment of a control plane, by label; Linkerd has only one."""
    labels = component["metadata"].get("labels") or {}
    return str(labels.get(REVISION, DEFAULT)) if mesh == "istio" else DEFAULT


def version_of(component: Object) -> str:
    """The version of a Deployment of a control plane: the tag of the mesh's own image, empty without one."""
    containers = component["spec"]["template"]["spec"].get("containers") or ()
    own = (str(each["image"]).partition("@")[0] for each in containers)
    return next((tag_of(image) for image in own if image.rpartition(":")[0].endswith(_OWN_IMAGES)), "")


def tag_of(image: str) -> str:
    """The tag of an image reference.

    >>> tag_of("docker.io/istio/pilot:1.31.4@sha256:0a")
    '1.31.4'
    """
    return image.partition("@")[0].rpartition(":")[2]


def _decision(
    mesh: str, template: Object, home: Object, hooks: tuple[Mapping[str, Any], ...]
) -> tuple[bool, str]:
    """Whether a pod of this template gets a sidecar in this namespace, and the reason."""
    refused = opted_out(mesh, template)
    if refused:
        return False, refused
    if not hooks:
        return False, "no injector is installed in this cluster"
    chosen = [hook for hook in hooks if not _unmet(hook, home, template)]
    if not chosen:
        return False, min((_unmet(hook, home, template) for hook in hooks), key=_nearness)[0]
    if not all(hook["clientConfig"].get("caBundle") for hook in chosen):
        return False, "the injector's webhook has no CA yet: new pods would be refused"
    if mesh == "linkerd":
        return _by_annotation(template, home)
    return True, f"webhook {str(chosen[0]['name']).partition('.')[0]} selects it"


def _nearness(unmet: list[str]) -> tuple[int, bool]:
    """Of several webhooks that do not select a pod, the one that lacks least; the mark people use wins."""
    return len(unmet), not any("istio-injection" in sentence for sentence in unmet)


def _by_annotation(template: Object, home: Object) -> tuple[bool, str]:
    """Linkerd's webhook sees almost every pod; its injector decides by annotation, the pod's before all."""
    own, general = notes(template).get(LINKERD_INJECT), notes(home).get(LINKERD_INJECT)
    for value, whose in ((own, "its pods carry"), (general, "its namespace carries")):
        if value:
            return value in LINKERD_INJECTS, f"{whose} {LINKERD_INJECT}={value}"
    return False, f"neither its namespace nor its pods carry {LINKERD_INJECT}"


def _unmet(hook: Mapping[str, Any], home: Object, template: Object) -> list[str]:
    """The conditions of a webhook's selectors that do not hold, as sentences."""
    name = home["metadata"]["name"]
    of_namespace = {"kubernetes.io/metadata.name": name, **(home["metadata"].get("labels") or {})}
    of_pod = (template.get("metadata") or {}).get("labels") or {}
    return [
        *_fails(hook.get("namespaceSelector") or {}, of_namespace, f"its namespace {name}"),
        *_fails(hook.get("objectSelector") or {}, of_pod, "its pods"),
    ]


def _fails(selector: Mapping[str, Any], labels: Labels, whose: str) -> Iterator[str]:
    equal = selector.get("matchLabels") or {}
    expressions = [{"key": k, "operator": "In", "values": [v]} for k, v in equal.items()]
    for one in (*expressions, *(selector.get("matchExpressions") or ())):
        key, values = one["key"], one.get("values") or []
        has, listed = labels.get(key), " or ".join(values)
        match one["operator"]:
            case "In" if has not in values:
                now = f"{key}={has}" if has is not None else f"no label {key}"
                yield f"{whose} {'carry' if whose.endswith('pods') else 'carries'} {now} (wanted: {listed})"
            case "NotIn" if has in values:
                yield f"the webhook leaves out {key}={has}, which {whose} has"
            case "Exists" if has is None:
                yield f"{whose} lacks the label {key}"
            case "DoesNotExist" if has is not None:
                yield f"the webhook leaves out whatever carries {key}, as {whose} does"


def _workloads(snapshot: Snapshot, namespace: str) -> Iterator[tuple[str, Object, list[Object]]]:
    """(name, pod template, living pods) of each workload; pods that nobody restarts stand for themselves."""
    living = [pod for pod in snapshot.of("Pod", namespace) if is_live(pod)]
    claimed: set[str] = set()
    for kind in _RESTARTED:
        for owner in snapshot.of(kind, namespace):
            wanted = owner["spec"]["selector"].get("matchLabels") or {}
            pods = [pod for pod in living if selects(wanted, pod)]
            claimed |= {pod["metadata"]["name"] for pod in pods}
            yield f"{kind} {namespace}/{owner['metadata']['name']}", owner["spec"]["template"], pods
    for pod in living:
        if pod["metadata"]["name"] not in claimed:
            yield f"Pod {namespace}/{pod['metadata']['name']}", pod, [pod]


def _marked(home: Object, mesh: str) -> Object:
    """The namespace as it will be once the intent ``Injection`` is applied: one that asks for a revision of
    Istio goes on doing so.
    """
    if mesh == "istio" and REVISION in (home["metadata"].get("labels") or {}):
        return home
    where, key = ("labels", INJECTION) if mesh == "istio" else ("annotations", LINKERD_INJECT)
    meta = home["metadata"]
    return {**home, "metadata": {**meta, where: {**(meta.get(where) or {}), key: "enabled"}}}
