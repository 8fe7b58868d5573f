"""Checks of Istio's injection labels, and of containers whose traffic bypasses the sidecar."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, title
from meshkit.kube.selectors import matches
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.meshes.istio.ambient.membership import SIDECAR
from meshkit.meshes.istio.revisions import INJECTION, REVISION, TAG
from meshkit.meshes.view import View

_AUTO = "auto"
"""The image that the webhook replaces by that of its proxy."""
_PROXY_UID = 1337
"""The user ID of Istio's sidecar, whose traffic is not captured."""


def check(view: View) -> Iterator[Finding]:
    """Find contradictory labels, unknown revisions, and containers that bypass the sidecar."""
    hooks = [labels(hook) for hook in view.of("MutatingWebhookConfiguration")]
    served = {DEFAULT_REVISION, *(hook.get(key) for hook in hooks for key in (REVISION, TAG))}
    for namespace in view.of("Namespace"):
        yield from _labels(namespace, served)
    for pod in view.meshed:
        yield from _bypass(pod)
    yield from _automatic_images(view)


def _labels(namespace: Object, served: set[str | None]) -> Iterator[Finding]:
    given = labels(namespace)
    if INJECTION in given and REVISION in given:
        message = f"{INJECTION} and {REVISION} are both set: Istio ignores the revision."
        yield codes.finding(codes.INJECTION_CONTRADICTS, title(namespace), message)
    revision = given.get(REVISION)
    if revision and INJECTION not in given and revision not in served:
        message = f"it asks for revision {revision}, which no webhook serves: its pods get no sidecar."
        yield codes.finding(codes.UNKNOWN_REVISION, title(namespace), message)


def _bypass(pod: Object) -> Iterator[Finding]:
    """Find containers of a pod with a sidecar whose traffic the sidecar takes for its own."""
    pod_user = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    for container in pod["spec"].get("containers", ()):
        user = (container.get("securityContext") or {}).get("runAsUser", pod_user)
        if container["name"] != SIDECAR and user == _PROXY_UID:
            message = f"container {container['name']} runs as user {_PROXY_UID}: it bypasses the sidecar."
            yield codes.finding(codes.PROXY_UID, title(pod), message)


def _automatic_images(view: View) -> Iterator[Finding]:
    """Find sidecars with the image ``auto``, which only the webhook replaces."""
    for pod in view.of("Pod"):
        if _has_automatic_image(pod):
            message = f"its container {SIDECAR} has the image {_AUTO!r}: no webhook has injected it."
            yield codes.finding(codes.IMAGE_NOT_REPLACED, title(pod), message)
    namespaces = {item["metadata"]["name"]: item for item in view.of("Namespace")}
    for workload in view.of("Deployment"):
        template = workload["spec"].get("template") or {}
        namespace = namespaces.get(workload["metadata"]["namespace"], {})
        if _has_automatic_image(template) and not any(
            _selects(hook, namespace, template) for hook in view.hooks
        ):
            message = f"its container {SIDECAR} has the image {_AUTO!r}, and no webhook selects its pods."
            yield codes.finding(codes.IMAGE_NOT_REPLACED, title(workload), message, severity="warning")


def _has_automatic_image(pod: Object) -> bool:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return any(each["name"] == SIDECAR and each.get("image") == _AUTO for each in containers)


def _selects(hook: Object, namespace: Object, template: Object) -> bool:
    return matches(hook.get("namespaceSelector") or {}, namespace) and matches(
        hook.get("objectSelector") or {}, template
    )
