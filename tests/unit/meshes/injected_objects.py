"""Namespaces, workloads and webhooks for tests of injection."""

from __future__ import annotations

from typing import Any

from meshkit.meshes.istio import revisions as istio_revisions
from meshkit.meshes.istio.revisions import Revision
from meshkit.meshes.linkerd import control_plane as linkerd_control_plane

WEBHOOKS = {
    "istio": istio_revisions.webhook(Revision(), "istio-system", "Fail"),
    "linkerd": linkerd_control_plane.webhook("linkerd", "Fail"),
}
MARK = {"istio": ("labels", "istio-injection"), "linkerd": ("annotations", "linkerd.io/inject")}


def webhook(mesh: str, *, trusted: bool = True) -> dict[str, Any]:
    made = dict(WEBHOOKS[mesh])
    made["webhooks"] = [
        {**hook, "clientConfig": {**hook["clientConfig"], "caBundle": "Q0E=" if trusted else ""}}
        for hook in made["webhooks"]
    ]
    return made


def namespace(mesh: str, value: str | None = "enabled") -> dict[str, Any]:
    where, key = MARK[mesh]
    meta: dict[str, Any] = {"name": "shop"} | ({where: {key: value}} if value else {})
    return {"kind": "Namespace", "metadata": meta}


def deployment(**template: Any) -> dict[str, Any]:
    meta = {"labels": {"app": "web", **template.pop("labels", {})}, **template.pop("metadata", {})}
    spec = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": meta, "spec": {"containers": [{"name": "web"}], **template}},
    }
    return {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def pod(number: int, *containers: str) -> dict[str, Any]:
    meta = {"name": f"web-{number}", "namespace": "shop", "labels": {"app": "web"}}
    spec = {"containers": [{"name": name} for name in ("web", *containers)]}
    return {"kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Running"}}
