"""Istio's injection rules: istiod's webhooks select pods by labels, and the injector can only refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.kube.metadata import annotations_of, labels
from meshkit.kube.pods import all_containers, image_tag
from meshkit.meshes.injection import Injection, ProxyOrigin
from meshkit.meshes.istio.ambient.membership import SIDECAR, enrolled, is_ambient
from meshkit.meshes.istio.meaning.proxy import APP_PROBERS
from meshkit.meshes.istio.revisions import DEFAULT, INJECT, INJECTION, REVISION, asked


def _refusal(template: Object) -> str:
    for where, values in (("label", labels(template)), ("annotation", annotations_of(template))):
        if values.get(INJECT) == "false":
            return f"its pods carry the {where} {INJECT}=false"
    return ""


def _decision(template: Object, home: Object, hook: Mapping[str, Any]) -> tuple[bool, str]:
    del template, home
    return True, f"webhook {str(hook['name']).partition('.')[0]} selects it"


def _marked(namespace: Object) -> Object:
    """Enable injection on a namespace; one that selects a revision or the ambient mode is unchanged."""
    if REVISION in labels(namespace) or is_ambient(namespace):
        return namespace
    meta = namespace["metadata"]
    return {**namespace, "metadata": {**meta, "labels": {**labels(namespace), INJECTION: "enabled"}}}


def _request(namespace: Object) -> str:
    found = labels(namespace)
    if found.get(INJECTION) == "enabled":
        return f"{INJECTION}=enabled"
    return f"{REVISION}={found[REVISION]}" if REVISION in found else ""


def _asks(template: Object) -> bool:
    """Whether a pod selects an injector by its own labels."""
    return labels(template).get(INJECT) == "true" or REVISION in labels(template)


def agent_probes(pod: Object) -> bool:
    """Whether the injector has redirected the kubelet's probes to the agent in the sidecar."""
    sidecars = (each for each in all_containers(pod) if each["name"] == SIDECAR)
    return any(env["name"] == APP_PROBERS for each in sidecars for env in each.get("env") or ())


def _origin(pod: Object) -> ProxyOrigin:
    image = next(str(each["image"]) for each in all_containers(pod) if each["name"] == SIDECAR)
    return ProxyOrigin(str(annotations_of(pod).get(REVISION, DEFAULT)), image_tag(image))


INJECTION_RULES = Injection(
    sidecar=SIDECAR,
    webhook="sidecar-injector.istio.io",
    mark=INJECTION,
    pin="sidecar.istio.io/proxyImage",
    refusal=_refusal,
    decision=_decision,
    marked=_marked,
    asked=asked,
    request=_request,
    origin=_origin,
    opting_out={"labels": {INJECT: "false"}},
    asks=_asks,
    sidecarless=enrolled,
)
