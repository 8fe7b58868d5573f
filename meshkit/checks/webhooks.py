"""The injection webhooks: are they there, trusted, answered, and what happens to pods while they are not?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Finding
from meshkit.kube.pods import is_live, is_ready
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View, finding


def check(view: View) -> Iterator[Finding]:
    """What stands between a new pod and its proxy."""
    if not view.components:
        return
    if not view.hooks:
        message = "there is no injection webhook: new pods get no proxy."
        yield finding("MK0501", "error", f"mesh {view.mesh}", message, "Install the control plane again.")
    for hook in view.hooks:
        name = f"webhook {hook['name']}"
        if not hook["clientConfig"].get("caBundle"):
            message = "it has no CA, so the API server trusts no answer."
            yield finding(
                "MK0502", "error", name, message, "Look at the control plane's log: it writes the CA."
            )
        yield from _answers(view, hook, name)
        if hook.get("failurePolicy") == "Ignore":
            message = "failurePolicy Ignore: while no injector answers, pods start without a proxy, unseen."
            yield finding("MK0504", "info", name, message, "Choose webhook_failure='fail' to refuse them.")
    yield from _outside(view)


def _answers(view: View, hook: Mapping[str, Any], name: str) -> Iterator[Finding]:
    target = hook["clientConfig"].get("service")
    if target is None:
        return
    service = next(
        (s for s in view.of("Service", target["namespace"]) if s["metadata"]["name"] == target["name"]), None
    )
    selector = (service or {}).get("spec", {}).get("selector") or {}
    pods = view.of("Pod", target["namespace"])
    if selector and any(is_live(pod) and is_ready(pod) and selects(selector, pod) for pod in pods):
        return
    policy = hook.get("failurePolicy", "Fail")
    effect = "no pod it selects can start" if policy == "Fail" else "pods start without a proxy"
    message = f"nobody answers behind Service {target['namespace']}/{target['name']}: {effect}."
    yield finding("MK0503", "error", name, message, "Bring back a replica of the injector.")


def _outside(view: View) -> Iterator[Finding]:
    """A webhook of anyone that refuses pods of this control plane while it is away itself."""
    own = {hook["name"] for hook in view.hooks}
    for configuration in view.of("MutatingWebhookConfiguration"):
        for hook in configuration.get("webhooks") or ():
            target = hook["clientConfig"].get("service") or {}
            everywhere = not hook.get("namespaceSelector") and not hook.get("objectSelector")
            pods = any("pods" in (rule.get("resources") or ()) for rule in hook.get("rules") or ())
            fails = hook.get("failurePolicy", "Fail") == "Fail"
            if hook["name"] not in own and everywhere and pods and fails:
                where = f"Service {target.get('namespace')}/{target.get('name')}"
                message = (
                    f"webhook {hook['name']} refuses every new pod while {where} is away, the mesh's too."
                )
                remedy = f"Exempt namespace {view.home} with a namespaceSelector."
                yield finding("MK0505", "warning", configuration, message, remedy)
