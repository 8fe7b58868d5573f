"""Linkerd's injection rules: its webhook selects almost all pods, and its injector reads annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.kube.metadata import annotations_of
from meshkit.meshes.injection import DEFAULT_REVISION, Injection, ProxyOrigin
from meshkit.meshes.linkerd.meaning.protocols import opaque_ports_of

INJECT = "linkerd.io/inject"
"""The annotation of a namespace or pod that enables or disables injection."""
ASKS = ("enabled", "ingress")
"""The values of INJECT that enable injection."""


def _refusal(template: Object) -> str:
    if annotations_of(template).get(INJECT) == "disabled":
        return f"its pods carry the annotation {INJECT}=disabled"
    return ""


def _decision(template: Object, home: Object, hook: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the injector adds a proxy; a pod's annotation takes precedence over its namespace's."""
    del hook
    own, general = annotations_of(template).get(INJECT), annotations_of(home).get(INJECT)
    for value, whose in ((own, "its pods carry"), (general, "its namespace carries")):
        if value:
            return value in ASKS, f"{whose} {INJECT}={value}"
    return False, f"neither its namespace nor its pods carry {INJECT}"


def _marked(namespace: Object) -> Object:
    meta = namespace["metadata"]
    return {
        **namespace,
        "metadata": {**meta, "annotations": {**annotations_of(namespace), INJECT: "enabled"}},
    }


def _asked(namespace: Object) -> str:
    return DEFAULT_REVISION if annotations_of(namespace).get(INJECT) in ASKS else ""


def _request(namespace: Object) -> str:
    value = annotations_of(namespace).get(INJECT)
    return f"{INJECT}={value}" if value in ASKS else ""


def _asks(template: Object) -> bool:
    return annotations_of(template).get(INJECT) in ASKS


def _origin(pod: Object) -> ProxyOrigin:
    return ProxyOrigin(DEFAULT_REVISION, str(annotations_of(pod).get("linkerd.io/proxy-version", "")))


INJECTION_RULES = Injection(
    sidecar="linkerd-proxy",
    webhook="linkerd-proxy-injector.linkerd.io",
    mark=INJECT,
    pin="config.linkerd.io/proxy-version",
    refusal=_refusal,
    decision=_decision,
    marked=_marked,
    asked=_asked,
    request=_request,
    origin=_origin,
    opting_out={"annotations": {INJECT: "disabled"}},
    asks=_asks,
    of_service=opaque_ports_of,
)
