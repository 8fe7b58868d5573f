"""Checks of the patches in EnvoyFilters that Istio ignores, or that depend on the order of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World

_ROUTES = ("ROUTE_CONFIGURATION", "HTTP_ROUTE")
_REPLACEABLE = ("HTTP_FILTER", "NETWORK_FILTER", "VIRTUAL_HOST")
_RELATIVE = ("INSERT_BEFORE", "INSERT_AFTER", "REPLACE", "REMOVE")


def check(world: World) -> Iterator[Finding]:
    """Find patches without effect, and patches whose effect depends on the order of EnvoyFilters."""
    by_version: set[str] = set()
    for item in world.registry.of("envoyfilters"):
        spec = item.get("spec") or {}
        for index, patch in enumerate(spec.get("configPatches") or ()):
            target, name = patch.get("applyTo", ""), _filter_name(patch)
            operation = (patch.get("patch") or {}).get("operation", "")
            where = f"spec.configPatches[{index}]"
            message = f"{where} uses {operation} on {target}."
            if operation == "ADD" and target in _ROUTES:
                yield codes.finding(codes.ENVOY_FILTER_ADD, title(item), message)
            elif operation == "REMOVE" and target in _ROUTES:
                yield codes.finding(codes.ENVOY_FILTER_REMOVE, title(item), message)
            elif operation == "REPLACE" and target not in _REPLACEABLE:
                yield codes.finding(codes.ENVOY_FILTER_REPLACE, title(item), message)
            elif operation in _RELATIVE and not spec.get("priority"):
                versioned = name in by_version
                code = codes.ENVOY_FILTER_RELATIVE_BY_VERSION if versioned else codes.ENVOY_FILTER_RELATIVE
                yield codes.finding(code, title(item), message)
            if ((patch.get("match") or {}).get("proxy") or {}).get("proxyVersion"):
                by_version.add(name)


def _filter_name(patch: Mapping[str, Any]) -> str:
    """The name of the filter that a patch adds, or that it refers to."""
    value = (patch.get("patch") or {}).get("value") or {}
    listener = (patch.get("match") or {}).get("listener") or {}
    filters = (listener.get("filterChain") or {}).get("filter") or {}
    return str(value.get("name") or filters.get("name") or "") if value else ""
