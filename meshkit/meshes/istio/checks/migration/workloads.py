"""Pods that the move leaves outside, takes in unasked, or changes by annotations without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.kube.pods import is_live, workload
from meshkit.meshes.istio.ambient.membership import MODE, OUTSIDE, has_own_proxy
from meshkit.meshes.istio.checks.annotation_table import SET_BY_ISTIO
from meshkit.meshes.istio.checks.migration.scope import Scope
from meshkit.meshes.istio.injection import INJECTION_RULES
from meshkit.meshes.istio.revisions import INJECT

_HBONE = 15008
"""The port on which pods of the ambient mode take the connections of the mesh."""
_OF_SIDECARS = (
    *("sidecar.istio.io/", "traffic.sidecar.istio.io/", "proxy.istio.io/", "inject.istio.io/"),
    *("readiness.status.sidecar.istio.io/", "status.sidecar.istio.io/"),
)
_LEFT_OUT = "traffic.sidecar.istio.io/"
_SPIRE = "csi.spiffe.io"


def check(scope: Scope) -> Iterator[Finding]:
    """Find workloads that need a decision before the move."""
    for namespace in sorted(scope.namespaces):
        found: dict[str, Object] = {}
        for pod in scope.view.of("Pod", namespace):
            if is_live(pod):
                found.setdefault(_workload(pod), pod)
        for name, pod in found.items():
            yield from _of(name, pod)
        moving = [name for name, pod in found.items() if INJECTION_RULES.runs_sidecar(pod)]
        if moving:
            shown = ", ".join(moving[:3]) + (f" and {len(moving) - 3} more" if len(moving) > 3 else "")
            message = f"{len(moving)} workloads run a sidecar: {shown}."
            yield codes.finding(codes.MOVE_RESTART, f"Namespace {namespace}", message)
        for policy in scope.view.of("NetworkPolicy", namespace):
            yield from _closed(policy)


def _workload(pod: Object) -> str:
    """Kind and name of what makes a pod: ``Deployment shop/web``, or the pod itself."""
    owners = pod["metadata"].get("ownerReferences")
    if not owners:
        return title(pod)
    kind = owners[0]["kind"]
    return f"{'Deployment' if kind == 'ReplicaSet' else kind} {workload(pod)}"


def _of(name: str, pod: Object) -> Iterator[Finding]:
    if pod["spec"].get("hostNetwork"):
        yield codes.finding(codes.MOVE_HOST_NETWORK, name, "it uses the host's network.")
        return
    if labels(pod).get(MODE) == OUTSIDE:
        message = f"it stays outside by its label {MODE}={OUTSIDE}."
        yield codes.finding(codes.MOVE_OPTED_OUT, name, message, severity="info")
        return
    if refused := INJECTION_RULES.refusal(pod):
        message = f"{refused}, which keeps no pod out of the ambient mode."
        yield codes.finding(codes.MOVE_OPTED_OUT, name, message)
    if any((volume.get("csi") or {}).get("driver") == _SPIRE for volume in pod["spec"].get("volumes") or ()):
        message = f"it mounts a volume of {_SPIRE}, and ztunnel takes no certificates from there."
        yield codes.finding(codes.MOVE_SPIRE, name, message)
    yield from _annotations(name, pod)


def _annotations(name: str, pod: Object) -> Iterator[Finding]:
    written = sorted(
        key
        for key in annotations_of(pod)
        if key.startswith(_OF_SIDECARS) and key not in (*SET_BY_ISTIO, INJECT)
    )
    left_out = [key for key in written if key.startswith(_LEFT_OUT)]
    rest = [key for key in written if key not in left_out]
    if left_out:
        message = f"{', '.join(left_out)} {_have(left_out)} no effect: ztunnel carries every connection."
        yield codes.finding(codes.MOVE_ANNOTATIONS, name, message, severity="warning")
    if rest and has_own_proxy(pod):
        message = f"{', '.join(rest)} {_have(rest)} no effect without a sidecar."
        yield codes.finding(codes.MOVE_ANNOTATIONS, name, message)


def _have(keys: list[str]) -> str:
    return "has" if len(keys) == 1 else "have"


def _closed(policy: Object) -> Iterator[Finding]:
    """Find a NetworkPolicy that admits callers to some ports, none of which is that of the ambient mode."""
    spec = policy.get("spec") or {}
    if "Ingress" not in (spec.get("policyTypes") or ("Ingress",)):
        return
    rules = spec.get("ingress") or ()
    if rules and not any(_admits(rule) for rule in rules):
        message = f"its rules admit callers, and none admits TCP port {_HBONE}."
        yield codes.finding(codes.MOVE_CLOSED_PORT, title(policy), message)


def _admits(rule: Mapping[str, Any]) -> bool:
    ports = rule.get("ports")
    if not ports:
        return True
    for each in ports:
        first = each.get("port", _HBONE)
        numeric = isinstance(first, int) and first <= _HBONE <= each.get("endPort", first)
        if each.get("protocol", "TCP") == "TCP" and numeric:
            return True
    return False
