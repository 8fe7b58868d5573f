"""Linkerd's injector, which decides by the annotation of the pod or else of its namespace.

It receives every new pod and Service. It copies the namespace's settings into the injected pods, and the
opaque ports into Services; where no one lists any, it notes the default ones that are theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.kube.metadata import annotations_of, labels
from meshkit.meshes.linkerd.meaning.protocols import BY_DEFAULT, OPAQUE, opaque_ports_of
from meshkit.meshes.linkerd.meaning.proxy import COMPONENT, PROXY
from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.injector import Injector, Sidecar, owner_name
from meshkit.sandbox.control_planes.linkerd.environment import INJECT, containers_of, environment
from meshkit.sandbox.control_planes.linkerd.init_container import init_container, volumes


def inject(pod: Object, namespace: Object, injector: Injector) -> Sidecar | None:
    """Return the init container and a native sidecar, of the injector's own version and with the current
    roots.
    """
    defaults = annotations_of(namespace)
    wanted = annotations_of(pod).get(INJECT) or defaults.get(INJECT)
    if wanted not in ("enabled", "ingress") or COMPONENT in labels(pod):
        return None
    container: dict[str, Any] = {
        "name": PROXY.container,
        "image": f"cr.l5d.io/linkerd/proxy:{injector.version}",
        "restartPolicy": "Always",
        "env": environment(pod, namespace, injector),
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
    if OPAQUE not in defaults and (ports := _by_default(_container_ports(pod), injector)):
        added[OPAQUE] = ports
    if injector.roots:
        added["linkerd.io/trust-root-sha256"] = hashlib.sha256(injector.roots.encode()).hexdigest()
    setup = init_container(pod, namespace, injector)
    return Sidecar(
        container,
        setup=setup,
        volumes=volumes(setup),
        labels={
            "linkerd.io/control-plane-ns": "linkerd",
            "linkerd.io/workload-ns": str(namespace["metadata"]["name"]),
            "linkerd.io/proxy-deployment": owner_name(pod),
        },
        annotations=added,
    )


def annotate(service: Object, namespace: Object, injector: Injector) -> Mapping[str, str]:
    """Return the opaque ports of a new Service: its namespace's, else the default ones that it leads to."""
    return opaque_ports_of(service, namespace, _default(injector))


def _by_default(ports: Iterable[int], injector: Injector) -> str:
    listed = _default(injector).split(",")
    return ",".join(str(port) for port in ports if str(port) in listed)


def _default(injector: Injector) -> str:
    return str((injector.values.get("proxy") or {}).get("opaquePorts", BY_DEFAULT))


def _container_ports(pod: Object) -> Iterable[int]:
    for container in containers_of(pod):
        yield from (int(port["containerPort"]) for port in container.get("ports") or ())
