"""Istio's injector, which injects every pod that its webhook selects unless the pod opts out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from meshkit.kube import yaml_input
from meshkit.kube.metadata import annotations_of, labels
from meshkit.meshes.istio.meaning.proxy import APP_PROBERS, PROXY, TLS_MODE, TLS_MODE_LABEL
from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.injector import Injector, Sidecar, owner_name
from meshkit.sandbox.control_planes.istio.listener_stats import PROXY_CONFIG

_NEVER = {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
_INJECT = "sidecar.istio.io/inject"
_REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"
_PROBES = {"readinessProbe": "readyz", "livenessProbe": "livez", "startupProbe": "startupz"}
_OWN_CONFIG = "proxy.istio.io/config"
"""The annotation of a pod with its own part of the proxy config."""


def inject(pod: Object, namespace: Object, injector: Injector) -> Sidecar | None:
    """Return a native sidecar with the image of the injector's own version."""
    of_pod = labels(pod)
    refused = of_pod.get(_INJECT, annotations_of(pod).get(_INJECT)) == "false"
    if refused or namespace["metadata"]["name"] in _NEVER:
        return None
    name = of_pod.get("app.kubernetes.io/name") or of_pod.get("app") or owner_name(pod)
    canonical = of_pod.get("app.kubernetes.io/version") or of_pod.get("version") or "latest"
    status = {
        "initContainers": [PROXY.container],
        "containers": None,
        "volumes": None,
        "revision": injector.revision,
    }
    return Sidecar(
        {
            "name": PROXY.container,
            "image": f"docker.io/istio/proxyv2:{injector.version}",
            "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
            "restartPolicy": "Always",
            "env": [
                {"name": PROXY_CONFIG, "value": _proxy_config(pod, injector.mesh_config)},
                *_app_probers(pod),
            ],
            "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "2000m", "memory": "1024Mi"},
            },
        },
        labels={
            TLS_MODE_LABEL: TLS_MODE,
            "service.istio.io/canonical-name": name,
            "service.istio.io/canonical-revision": canonical,
        },
        annotations={
            PROXY.revision_mark: injector.revision,
            "prometheus.io/path": "/stats/prometheus",
            "prometheus.io/port": "15020",
            "prometheus.io/scrape": "true",
            "sidecar.istio.io/status": json.dumps(status, separators=(",", ":")),
        },
    )


def _app_probers(pod: Object) -> list[dict[str, str]]:
    """Return the variable that says which probes the agent answers in place of the application.

    Here the kubelet asks the application, past the proxy; either way no access rule sees a probe.
    """
    if annotations_of(pod).get(_REWRITE) == "false":
        return []
    probes = {
        f"/app-health/{container['name']}/{path}": container[name]
        for container in pod["spec"].get("containers") or ()
        for name, path in _PROBES.items()
        if container.get(name)
    }
    return [{"name": APP_PROBERS, "value": json.dumps(probes, separators=(",", ":"))}] if probes else []


def _proxy_config(pod: Object, mesh_config: str) -> str:
    """Return the proxy config of the mesh with that of the pod over it, as JSON."""
    of_mesh = _mapping(_mapping(mesh_config).get("defaultConfig"))
    of_pod = _mapping(annotations_of(pod).get(_OWN_CONFIG))
    return json.dumps({**of_mesh, **of_pod}, separators=(",", ":"))


def _mapping(written: object) -> Mapping[str, Any]:
    """Return a mapping, or the mapping in a YAML text; empty if it is neither."""
    try:
        found = yaml_input.load(written) if isinstance(written, str) else written
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
