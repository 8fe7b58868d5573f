"""Checks that ResourceQuotas leave room for rolling updates of the control plane and for sidecars."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.quantities import amount
from meshkit.meshes.injection import rules_of
from meshkit.meshes.view import View

NEARLY = 0.9
"""The used share from which a rolling update, which temporarily needs one more pod, is at risk."""
_REQUESTS = {"requests.cpu": "cpu", "requests.memory": "memory", "cpu": "cpu", "memory": "memory"}


def check(view: View) -> Iterator[Finding]:
    """Find quotas that are nearly used up, and quotas that refuse sidecars without requests."""
    for namespace in sorted({view.home, *view.meshed_namespaces}):
        for quota in view.of("ResourceQuota", namespace):
            yield from _used(quota)
            yield from _refused(view, quota)


def _used(quota: Object) -> Iterator[Finding]:
    status = quota.get("status") or {}
    for resource, hard in (status.get("hard") or {}).items():
        used = (status.get("used") or {}).get(resource, "0")
        try:
            share = float(amount(used) / amount(hard)) if amount(hard) else 1.0
        except ValueError:
            continue
        if share >= NEARLY:
            message = f"{used} of {hard} {resource} are used: a rolling update may not get one more pod."
            yield codes.finding(codes.QUOTA_NEARLY_USED, title(quota), message)


def _refused(view: View, quota: Object) -> Iterator[Finding]:
    demanded = {_REQUESTS[key] for key in quota["spec"].get("hard") or {} if key in _REQUESTS}
    namespace = quota["metadata"]["namespace"]
    defaults = any(
        "defaultRequest" in limit or "default" in limit
        for limits in view.of("LimitRange", namespace)
        for limit in limits["spec"].get("limits") or ()
    )
    if defaults or not demanded:
        return
    for pod in view.of("Pod", namespace):
        for container in (*pod["spec"].get("containers", ()), *pod["spec"].get("initContainers", ())):
            requests = (container.get("resources") or {}).get("requests") or {}
            if container["name"] == rules_of(view.mesh).sidecar and not demanded <= set(requests):
                missing = " and ".join(sorted(demanded - set(requests)))
                message = f"sidecars request no {missing}: the quota refuses new meshed pods."
                yield codes.finding(codes.QUOTA_REFUSES_PROXIES, title(quota), message)
                return
