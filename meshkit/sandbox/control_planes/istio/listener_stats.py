"""Whether a sidecar's page shows the statistics of Envoy's listeners, as Istio's bootstrap configures it.

Of Envoy's own statistics a proxy exposes only those that a prefix, suffix or expression of its configuration
includes. An annotation of the pod replaces that part of the proxy config, which the injector wrote into the
sidecar's environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.model import patterns
from meshkit.meshes.model.outbound import Object

PROXY_CONFIG = "PROXY_CONFIG"
"""The variable of the sidecar with the proxy config that applied at injection, as JSON."""
ADDRESS = "0.0.0.0_15006"
"""The inbound listener of every real sidecar; here each port of a pod has a listener of its own."""
NO_FILTER_CHAIN = f"listener.{ADDRESS}.no_filter_chain_match"


def _matched(statistic: str, expression: str) -> bool:
    try:
        return patterns.matches(f"^(?:{expression})$", statistic)
    except (patterns.Unreadable, patterns.TooCostly):  # Envoy takes no such expression
        return False


_INCLUDED: Mapping[str, tuple[str, Callable[[str, str], bool]]] = {
    "inclusionPrefixes": ("sidecar.istio.io/statsInclusionPrefixes", str.startswith),
    "inclusionSuffixes": ("sidecar.istio.io/statsInclusionSuffixes", str.endswith),
    "inclusionRegexps": ("sidecar.istio.io/statsInclusionRegexps", _matched),
}


def exposes(pod: Object, statistic: str) -> bool:
    """Return whether the sidecar of a pod exposes one of Envoy's own statistics."""
    annotations = pod["metadata"].get("annotations") or {}
    matcher = _mapping(_proxy_config(pod).get("proxyStatsMatcher"))
    for field, (annotation, includes) in _INCLUDED.items():
        written = annotations.get(annotation)
        listed = written.split(",") if written else matcher.get(field)
        if isinstance(listed, list) and any(includes(statistic, str(each)) for each in listed):
            return True
    return False


def _proxy_config(pod: Object) -> Mapping[str, Any]:
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c["name"] == PROXY.container)
    written = {e["name"]: e.get("value") for c in sidecars for e in c.get("env") or ()}.get(PROXY_CONFIG)
    try:
        return _mapping(json.loads(written) if written else {})
    except ValueError:
        return {}


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}
