"""Sidecar injection: which pods get one, and the JSON patch that adds it. Pure; ``webhook`` serves it.

The meshes decide differently: Istio's webhook configuration selects by labels and istiod only refuses;
Linkerd's gets every pod and decides by annotation, the pod's before the namespace's, and copies the
namespace's settings for good.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import (
    COMPONENT,
    DEFAULT_REVISION,
    ISTIO,
    REVISION,
    ROOTS_VARIABLE,
    TLS_MODE_LABEL,
    mesh_of,
)

Patch = list[dict[str, Any]]
_ISTIO_NEVER = {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
_INJECT = "linkerd.io/inject"


def patch_for(
    mesh: str,
    pod: Object,
    namespace: Object,
    version: str,
    *,
    revision: str = DEFAULT_REVISION,
    roots: str = "",
) -> Patch:
    """The patch that adds the mesh's sidecar to a new pod; empty where it gets none.

    ``revision`` is the injector's own: the pod's sidecar obeys no other. ``roots`` is the bundle that
    Linkerd's proxy trusts for as long as the pod lives.
    """
    if mesh_of(pod) or pod["spec"].get("hostNetwork"):
        return []
    if mesh == ISTIO:
        return _istio(pod, namespace, version, revision)
    return _linkerd(pod, namespace, version, roots)


def trust_anchors(pod: Object) -> str | None:
    """The roots that the pod was made to trust, None where it was told of none."""
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c["name"] == "linkerd-proxy")
    told = {entry["name"]: entry.get("value") for c in sidecars for entry in c.get("env") or ()}
    return told.get(ROOTS_VARIABLE)


def _istio(pod: Object, namespace: Object, version: str, revision: str) -> Patch:
    labels, annotations = _labels(pod), _annotations(pod)
    refused = labels.get("sidecar.istio.io/inject", annotations.get("sidecar.istio.io/inject")) == "false"
    if refused or namespace["metadata"]["name"] in _ISTIO_NEVER:
        return []
    name = labels.get("app.kubernetes.io/name") or labels.get("app") or _owner(pod)
    canonical = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    status = {"initContainers": ["istio-proxy"], "containers": None, "volumes": None, "revision": revision}
    container = {
        "name": "istio-proxy",
        "image": f"docker.io/istio/proxyv2:{version}",
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "restartPolicy": "Always",
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2000m", "memory": "1024Mi"},
        },
    }
    return [
        _sidecar(pod, container),
        *_added(
            pod,
            "labels",
            {
                TLS_MODE_LABEL: "istio",
                "service.istio.io/canonical-name": name,
                "service.istio.io/canonical-revision": canonical,
            },
        ),
        *_added(
            pod,
            "annotations",
            {
                REVISION: revision,
                "prometheus.io/path": "/stats/prometheus",
                "prometheus.io/port": "15020",
                "prometheus.io/scrape": "true",
                "sidecar.istio.io/status": json.dumps(status, separators=(",", ":")),
            },
        ),
    ]


def _linkerd(pod: Object, namespace: Object, version: str, roots: str) -> Patch:
    general = _annotations(namespace)
    wanted = _annotations(pod).get(_INJECT) or general.get(_INJECT)
    if wanted not in ("enabled", "ingress") or COMPONENT in _labels(pod):
        return []
    container: dict[str, Any] = {
        "name": "linkerd-proxy",
        "image": f"ghcr.io/linkerd/proxy:{version}",
        "restartPolicy": "Always",
        "ports": [
            {"containerPort": 4143, "name": "linkerd-proxy", "protocol": "TCP"},
            {"containerPort": 4191, "name": "linkerd-admin", "protocol": "TCP"},
        ],
    }
    copied = {key: value for key, value in general.items() if key.startswith("config.linkerd.io/")}
    annotations = {
        **copied,
        "linkerd.io/created-by": f"linkerd/proxy-injector {version}",
        "linkerd.io/proxy-version": version,
    }
    if roots:
        container["env"] = [{"name": ROOTS_VARIABLE, "value": roots}]
        annotations["linkerd.io/trust-root-sha256"] = hashlib.sha256(roots.encode()).hexdigest()
    labels = {
        "linkerd.io/control-plane-ns": "linkerd",
        "linkerd.io/workload-ns": str(namespace["metadata"]["name"]),
        "linkerd.io/proxy-deployment": _owner(pod),
    }
    return [
        _sidecar(pod, container),
        *_added(pod, "labels", labels),
        *_added(pod, "annotations", annotations),
    ]


def _sidecar(pod: Object, container: Mapping[str, Any]) -> dict[str, Any]:
    if pod["spec"].get("initContainers"):
        return {"op": "add", "path": "/spec/initContainers/0", "value": container}
    return {"op": "add", "path": "/spec/initContainers", "value": [container]}


def _added(pod: Object, where: str, values: Mapping[str, str]) -> Patch:
    """Labels or annotations the pod does not have yet."""
    have = pod["metadata"].get(where) or {}
    missing = {key: value for key, value in values.items() if key not in have}
    if not have:
        return [{"op": "add", "path": f"/metadata/{where}", "value": missing}]
    return [
        {
            "op": "add",
            "path": f"/metadata/{where}/{key.replace('~', '~0').replace('/', '~1')}",
            "value": value,
        }
        for key, value in sorted(missing.items())
    ]


def _owner(pod: Object) -> str:
    """The Deployment's name as far as a pod that has no name yet tells it."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        name = str(owner["name"])
        return name.rpartition("-")[0] or name if owner["kind"] == "ReplicaSet" else name
    return str(meta.get("name") or str(meta.get("generateName", "pod")).rstrip("-"))


def _labels(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def _annotations(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}
