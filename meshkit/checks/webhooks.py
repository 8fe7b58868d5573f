"""Checks that the injection webhooks exist, have a CA and a ready server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live, is_ready
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find what prevents new pods from getting their sidecar."""
    if not view.components:
        return
    if not view.hooks:
        message = "there is no injection webhook: new pods get no sidecar."
        yield codes.finding(codes.NO_INJECTOR, f"mesh {view.mesh}", message)
    for hook in view.hooks:
        name = f"webhook {hook['name']}"
        if not hook["clientConfig"].get("caBundle"):
            message = "it has no CA, so the API server trusts no answer of it."
            yield codes.finding(codes.WEBHOOK_WITHOUT_CA, name, message)
        yield from _unanswered(view, hook, name)
        if hook.get("failurePolicy") == "Ignore":
            message = "it has failurePolicy Ignore: while no injector answers, pods start without a sidecar."
            yield codes.finding(codes.WEBHOOK_FAILS_OPEN, name, message)
    yield from _foreign(view)


def _unanswered(view: View, hook: Mapping[str, Any], name: str) -> Iterator[Finding]:
    target = hook["clientConfig"].get("service")
    if target is None:
        return
    services = view.of("Service", target["namespace"])
    service = next((obj for obj in services if obj["metadata"]["name"] == target["name"]), None)
    selector = (service or {}).get("spec", {}).get("selector") or {}
    pods = view.of("Pod", target["namespace"])
    if selector and any(is_live(pod) and is_ready(pod) and selects(selector, pod) for pod in pods):
        return
    fails = hook.get("failurePolicy", "Fail") == "Fail"
    effect = "no pod that it selects can start" if fails else "pods start without a sidecar"
    message = f"no ready pod answers behind Service {target['namespace']}/{target['name']}: {effect}."
    yield codes.finding(codes.WEBHOOK_UNANSWERED, name, message)


def _foreign(view: View) -> Iterator[Finding]:
    """Find other webhooks that refuse the control plane's pods while their own server is down."""
    own = {hook["name"] for hook in view.hooks}
    for configuration in view.of("MutatingWebhookConfiguration"):
        for hook in configuration.get("webhooks") or ():
            target = hook["clientConfig"].get("service") or {}
            everywhere = not hook.get("namespaceSelector") and not hook.get("objectSelector")
            pods = any("pods" in (rule.get("resources") or ()) for rule in hook.get("rules") or ())
            fails = hook.get("failurePolicy", "Fail") == "Fail"
            if hook["name"] not in own and everywhere and pods and fails:
                server = f"Service {target.get('namespace')}/{target.get('name')}"
                message = (
                    f"webhook {hook['name']} refuses every new pod while {server} is away, the mesh's too."
                )
                remedy = f"Exempt namespace {view.home} with a namespaceSelector."
                yield codes.finding(codes.FOREIGN_WEBHOOK_BLOCKS, title(configuration), message, remedy)
