"""A mesh as steps that take it away, and who still needs it.

Order matters: webhooks go first, so that no pod waits for an injector that is gone; what the control plane
would write again goes after it; its namespace and its definitions go last. An undo walks the other way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshkit.errors import BadInput
from meshkit.facts import Finding, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.helm import RELEASE, WAIT_S, release_of
from meshkit.kube.metadata import notes, title
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S
from meshkit.meshes.injection import LINKERD_INJECT, LINKERD_INJECTS, proxies

MANAGER = "meshkit"
"""The field manager of objects that meshkit made; parts of others' objects have managers of their own."""
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_BINDING, _ROLE, _DEFINITION = "ClusterRoleBinding", "ClusterRole", "CustomResourceDefinition"
_LATE = ("ConfigMap", "Secret", "RoleBinding", "Role", "ServiceAccount", "LimitRange", "ResourceQuota")
"""Kinds that go after the workloads which read or write them, in this order."""
_AWAITED = {
    "Deployment": Wait("available", ROLLOUT_TIMEOUT_S),
    "MutatingWebhookConfiguration": Wait("trusted", 60),
    _DEFINITION: Wait("established", manifests.CRD_TIMEOUT_S),
    RELEASE.kind: Wait("trusted", WAIT_S),
}
"""What an undo waits for, by kind."""


@dataclass(frozen=True)
class Marks:
    """How the parts of a mesh are known."""

    component: str
    """A label of its Deployments, with its value where others have the label too: whatever carries it is
    taken for a part of the control plane, which is more than the components that checks look at.
    """
    charts: tuple[str, ...]
    """Its charts, in the order in which their releases go."""
    group: str
    """How the groups of its definitions end."""
    written: tuple[tuple[str, str], ...]
    """Kind and name of what the control plane itself, or ``plan_identity``, wrote into its namespace."""
    copied: tuple[str, ...]
    """ConfigMaps that it wrote into every namespace."""
    elsewhere: str
    """How to take away what neither meshkit nor Helm installed."""


MARKS: Mapping[str, Marks] = {
    "istio": Marks(
        component="app=istiod",
        charts=("gateway", "istiod", "cni", "base"),
        group="istio.io",
        written=(
            ("Secret", "istio-ca-secret"),
            ("ConfigMap", "istio-ca-root-cert"),
            ("ConfigMap", "istio-leader"),
            ("ConfigMap", "istio-gateway-status-leader"),
            ("ConfigMap", "istio-namespace-controller-election"),
        ),
        copied=("istio-ca-root-cert",),
        elsewhere="'istioctl uninstall --purge' takes away what istioctl installed.",
    ),
    "linkerd": Marks(
        component="linkerd.io/control-plane-component",
        charts=("linkerd-control-plane", "linkerd-crds"),
        group="linkerd.io",
        written=(
            ("Secret", "linkerd-identity-issuer"),
            ("Secret", "linkerd-trust-anchor"),
            ("Secret", "linkerd-proxy-injector-k8s-tls"),
            ("ConfigMap", "linkerd-identity-trust-roots"),
        ),
        copied=(),
        elsewhere="'linkerd uninstall | kubectl delete -f -' takes away what the linkerd command installed.",
    ),
}


def removal(snapshot: Snapshot, mesh: str, home: str, *, definitions: bool) -> tuple[Step, ...]:
    """The steps that take a mesh away from a cluster; its definitions only when asked for.

    The Snapshot holds all of the namespace ``home``, all releases (RELEASE, ``spec.chart`` is Chart.yaml),
    webhooks, cluster roles, definitions and namespaces, and the mesh's ConfigMaps everywhere. Raises
    ``BadInput`` for a control plane that neither meshkit nor Helm installed.
    """
    marks = MARKS[mesh]
    releases = _releases(snapshot, mesh, home, definitions)
    gone = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in releases}
    inside = [one for one in snapshot.objects if _is_inside(one, home, marks)]
    _require_ours(snapshot, marks, home)
    homes = dict.fromkeys([*(one["metadata"]["namespace"] for one in releases), home])
    found = [
        *(hook for kind in _WEBHOOKS for hook in snapshot.of(kind) if _calls(hook, home)),
        *releases,
        *sorted(inside, key=lambda one: _LATE.index(one["kind"]) + 1 if one["kind"] in _LATE else 0),
        *_cluster_roles(snapshot, home),
        *_copies(snapshot, mesh, home),
        *(one for one in snapshot.of("Namespace") if one["metadata"]["name"] in homes and _may_go(one, home)),
        *(one for one in snapshot.of(_DEFINITION) if definitions and _is_of(one, marks)),
    ]
    # What Helm made goes with its release; definitions stay behind where their chart says so.
    return tuple(
        taken_away(one) for one in found if one["kind"] == _DEFINITION or release_of(one) not in gone
    )


def meshed(snapshot: Snapshot, mesh: str, homes: set[str]) -> Counter[str]:
    """Namespace -> pods that run a sidecar there, those of the mesh's own namespaces aside."""
    found = (pod["metadata"]["namespace"] for pod in proxies(snapshot.of("Pod"), mesh))
    return Counter(namespace for namespace in found if namespace not in homes)


def who_needs_it(snapshot: Snapshot, mesh: str, homes: set[str]) -> Iterator[Finding]:
    """Warnings: namespaces with meshed pods, and those that ask for injection, which nobody will do."""
    for name, count in sorted(meshed(snapshot, mesh, homes).items()):
        many = "1 pod runs" if count == 1 else f"{count} pods run"
        message = f"{many} a sidecar, which gets no new route or certificate once {mesh} is gone."
        yield Finding("MK0312", "warning", f"Namespace {name}", message, "Restart them without sidecars.")
    for namespace in snapshot.of("Namespace"):
        asked = _asks(namespace, mesh)
        if asked and namespace["metadata"]["name"] not in homes:
            message = f"it asks for injection ({asked}); nobody will answer."
            remedy = "Take that off, or undo its injection ('meshkit history')."
            yield Finding("MK0313", "warning", title(namespace), message, remedy)


def what_stays(snapshot: Snapshot, mesh: str) -> Iterator[Finding]:
    """A warning: the definitions, which stay unless they are asked for."""
    count = sum(_is_of(one, MARKS[mesh]) for one in snapshot.of(_DEFINITION))
    if count:
        message = "they stay, and with them every route and policy written for the mesh."
        remedy = "Say crds (--crds) to take away those without objects."
        yield Finding("MK0314", "warning", f"{count} CustomResourceDefinitions of {mesh}", message, remedy)


def _asks(namespace: Object, mesh: str) -> str:
    if mesh == "linkerd":
        value = notes(namespace).get(LINKERD_INJECT)
        return f"{LINKERD_INJECT}={value}" if value in LINKERD_INJECTS else ""
    labels = namespace["metadata"].get("labels") or {}
    if labels.get("istio-injection") == "enabled":
        return "istio-injection=enabled"
    return f"istio.io/rev={labels['istio.io/rev']}" if "istio.io/rev" in labels else ""


def _releases(snapshot: Snapshot, mesh: str, home: str, definitions: bool) -> list[Object]:
    """The mesh's releases in the order in which they go: gateways everywhere, the rest at home.

    Linkerd's definitions go with their release, so it goes only when they are asked for.
    """
    charts = MARKS[mesh].charts
    found = [
        one
        for one in snapshot.of(RELEASE.kind)
        if (chart := one["spec"]["chart"])["name"] in charts
        and mesh in str(chart)
        and (one["metadata"]["namespace"] == home or chart["name"] == "gateway")
        and (definitions or chart["name"] != "linkerd-crds")
    ]
    return sorted(found, key=lambda one: charts.index(one["spec"]["chart"]["name"]))


def _is_inside(one: Object, home: str, marks: Marks) -> bool:
    meta = one["metadata"]
    if one["kind"] == RELEASE.kind or meta.get("namespace") != home or meta.get("ownerReferences"):
        return False
    return is_ours(one) or (one["kind"], meta["name"]) in marks.written


def is_ours(one: Object) -> bool:
    """Whether meshkit made an object, or owns a part of it as its own."""
    return any(entry["manager"] == MANAGER for entry in one["metadata"].get("managedFields") or ())


def _require_ours(snapshot: Snapshot, marks: Marks, home: str) -> None:
    """Refuse a control plane that was installed another way: its parts are known to its installer alone."""
    key, _, value = marks.component.partition("=")
    for one in snapshot.of("Deployment", home):
        label = (one["metadata"].get("labels") or {}).get(key)
        if label is not None and value in ("", label) and not is_ours(one) and release_of(one) is None:
            raise BadInput(
                "uninstall",
                f"{title(one)} was installed neither by meshkit nor by Helm.",
                remedy=marks.elsewhere,
            )


def _calls(hook: Object, home: str) -> bool:
    services = [(one["clientConfig"].get("service") or {}) for one in hook.get("webhooks") or ()]
    return bool(services) and all(service.get("namespace") == home for service in services)


def _cluster_roles(snapshot: Snapshot, home: str) -> Iterator[Object]:
    """Bindings that meshkit made for accounts of the control plane alone, each before its role."""
    for binding in snapshot.of(_BINDING):
        subjects = binding.get("subjects") or ()
        if is_ours(binding) and subjects and all(s.get("namespace") == home for s in subjects):
            yield binding
            role = snapshot.find(_ROLE, binding["roleRef"]["name"])
            if role and is_ours(role):
                yield role


def _copies(snapshot: Snapshot, mesh: str, home: str) -> Iterator[Object]:
    """What the control plane wrote into other namespaces, unless sidecars there still have it mounted."""
    needed = meshed(snapshot, mesh, {home})
    for one in snapshot.of("ConfigMap"):
        namespace = one["metadata"]["namespace"]
        if one["metadata"]["name"] in MARKS[mesh].copied and namespace != home and not needed[namespace]:
            yield one


def _may_go(namespace: Object, home: str) -> bool:
    """The control plane's namespace, and others of its releases where meshkit made them."""
    name = namespace["metadata"]["name"]
    return not name.startswith("kube-") and name != "default" and (name == home or is_ours(namespace))


def _is_of(definition: Object, marks: Marks) -> bool:
    group = definition["spec"]["group"]
    return bool(group == marks.group or group.endswith(f".{marks.group}"))


def taken_away(one: Object) -> Step:
    """A step that takes an object away, with what an undo waits for once it is back."""
    return Step(_reference(one), removed=True, wait=_AWAITED.get(one["kind"]))


def _reference(one: Object) -> dict[str, object]:
    meta = {key: one["metadata"][key] for key in ("name", "namespace") if one["metadata"].get(key)}
    return {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": meta}
