"""The mutual TLS mode of workloads, from PeerAuthentications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.kube.selectors import contains
from meshkit.meshes.model.registry import Registry

MODES = ("DISABLE", "PERMISSIVE", "STRICT")


def workload_mode(registry: Registry, namespace: str, labels: Mapping[str, str], port: int) -> str:
    """The mode of one port of a workload: what its proxy asks for, and what callers know of it.

    Port before workload before namespace before mesh, the oldest of each; UNSET inherits; nothing at all is
    PERMISSIVE.
    """
    for item in registry.of("peerauthentications", namespace):
        spec = item.get("spec") or {}
        selector = (spec.get("selector") or {}).get("matchLabels")
        if selector and namespace != registry.root_namespace and contains(labels, selector):
            ports = {int(number): value for number, value in (spec.get("portLevelMtls") or {}).items()}
            chosen = _port_mode(ports.get(port, {})) or _mtls_mode(spec)
            return chosen or namespace_mode(registry, namespace)
    return namespace_mode(registry, namespace)


def namespace_mode(registry: Registry, namespace: str) -> str:
    """The mode of a namespace without regard to workloads: with DISABLE no caller begins mutual TLS."""
    for scope in (namespace, registry.root_namespace):
        for item in registry.of("peerauthentications", scope):
            spec = item.get("spec") or {}
            if not (spec.get("selector") or {}).get("matchLabels"):
                mode = _mtls_mode(spec)
                if mode:
                    return mode
                break
    return "PERMISSIVE"


def _mtls_mode(spec: Mapping[str, Any] | None) -> str | None:
    return _port_mode((spec or {}).get("mtls") or {})


def _port_mode(value: Mapping[str, Any]) -> str | None:
    mode = value.get("mode", "UNSET")
    return mode if mode in MODES else None
