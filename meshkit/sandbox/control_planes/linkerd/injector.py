"""Linkerd's injector, which decides by the annotation of the pod or else of its namespace.

It receives every pod, and it copies the namespace's settings into the injected pods.
"""

from __future__ import annotations

import hashlib
from typing import Any

from meshkit.kube.metadata import annotations_of, labels
from meshkit.meshes.linkerd.meaning.proxy import COMPONENT, PROXY
from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.injector import Injector, Sidecar, owner_name

_INJECT = "linkerd.io/inject"


def inject(pod: Object, namespace: Object, injector: Injector) -> Sidecar | None:
    """Return a native sidecar with the image of the injector's own version and the current roots."""
    defaults = annotations_of(namespace)
    wanted = annotations_of(pod).get(_INJECT) or defaults.get(_INJECT)
    if wanted not in ("enabled", "ingress") or COMPONENT in labels(pod):
        return None
    container: dict[str, Any] = {
        "name": PROXY.container,
        "image": f"ghcr.io/linkerd/proxy:{injector.version}",
        "restartPolicy": "Always",
        "ports": [
            {"containerPort": 4143, "name": "linkerd-proxy", "protocol": "TCP"},
            {"containerPort": 4191, "name": "linkerd-admin", "protocol": "TCP"},
        ],
    }
    copied = {key: value for key, value in defaults.items() if key.startswith("config.linkerd.io/")}
    added = {
        **copied,
        "linkerd.io/created-by": f"linkerd/proxy-injector {injector.version}",
        "linkerd.io/proxy-version": injector.version,
    }
    if injector.roots:
        container["env"] = [{"name": PROXY.roots_variable, "value": injector.roots}]
        added["linkerd.io/trust-root-sha256"] = hashlib.sha256(injector.roots.encode()).hexdigest()
    return Sidecar(
        container,
        labels={
            "linkerd.io/control-plane-ns": "linkerd",
            "linkerd.io/workload-ns": str(namespace["metadata"]["name"]),
            "linkerd.io/proxy-deployment": owner_name(pod),
        },
        annotations=added,
    )
