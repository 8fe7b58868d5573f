"""The init container that redirects a pod's connections to Linkerd's proxy, as its injector writes it.

The sandbox has no interception: the container ends at once, like every one that only sets up a network. Where
the charts name a CNI plugin, the plugin redirects, and there is no such container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.kube.metadata import annotations_of
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.injector import Injector
from meshkit.sandbox.control_planes.linkerd.environment import PORTS

NAME = "linkerd-init"
_LOCK = "linkerd-proxy-init-xtables-lock"
_IMAGE, _VERSION = "cr.l5d.io/linkerd/proxy-init", "v2.4.3"
"""The image where no chart says it; its version is that of edge-25.8.5."""
_PROXY_UID, _UID = 2102, 65534
_IGNORED = "4567,4568"
"""Ports that are not redirected by default: Galera's, which Linkerd's charts name."""


def init_container(pod: Object, namespace: Object, injector: Injector) -> dict[str, Any] | None:
    """Return the init container of a new pod, or None if a CNI plugin does its work."""
    values: Mapping[str, Any] = injector.values
    if values.get("cniEnabled"):
        return None
    proxy, setup = values.get("proxy") or {}, values.get("proxyInit") or {}
    image, uid = setup.get("image") or {}, setup.get("runAsUser", _UID)
    return {
        "name": NAME,
        "image": f"{image.get('name') or _IMAGE}:{image.get('version') or _VERSION}",
        "imagePullPolicy": image.get("pullPolicy") or "IfNotPresent",
        "args": _arguments({**annotations_of(namespace), **annotations_of(pod)}, proxy, setup),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": setup.get("runAsGroup", uid),
            "runAsNonRoot": uid != 0,
            "runAsUser": uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"mountPath": "/run", "name": _LOCK}],
    }


def volumes(container: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the volumes that the init container mounts."""
    return [{"name": _LOCK, "emptyDir": {}}] if container else []


def _arguments(settings: Mapping[str, str], proxy: Mapping[str, Any], setup: Mapping[str, Any]) -> list[str]:
    ports = {**PORTS, **(proxy.get("ports") or {})}
    inbound = settings.get(PROXY.skipped_ports) or setup.get("ignoreInboundPorts", _IGNORED)
    outbound = settings.get(PROXY.skipped_outbound_ports) or setup.get("ignoreOutboundPorts", _IGNORED)
    skipped = ",".join(filter(None, (str(ports["control"]), str(ports["admin"]), str(inbound))))
    programs = ["--firewall-bin-path", "iptables-nft", "--firewall-save-bin-path", "iptables-nft-save"]
    given = [
        *(programs if setup.get("iptablesMode", "nft") == "nft" else ()),
        "--ipv6=false",
        *("--incoming-proxy-port", str(ports["inbound"])),
        *("--outgoing-proxy-port", str(ports["outbound"])),
        *("--proxy-uid", str(proxy.get("uid") or _PROXY_UID)),
        *("--inbound-ports-to-ignore", skipped),
    ]
    return [*given, "--outbound-ports-to-ignore", str(outbound)] if outbound else given
