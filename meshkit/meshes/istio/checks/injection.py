"""Checks of Istio's injection labels, and of containers whose traffic bypasses the sidecar."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, title
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.meshes.istio.injection import SIDECAR
from meshkit.meshes.istio.revisions import INJECTION, REVISION, TAG
from meshkit.meshes.view import View

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
    for container in pod["spec"].get("containers", ()):
        user = (container.get("securityContext") or {}).get("runAsUser")
        if container["name"] != SIDECAR and user == _PROXY_UID:
            message = f"container {container['name']} runs as user {_PROXY_UID}: it bypasses the sidecar."
            yield codes.finding(codes.PROXY_UID, title(pod), message)
