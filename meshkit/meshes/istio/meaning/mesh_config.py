"""Read Istio's mesh config from the ConfigMap ``istio``.

Defaults are istiod's own (istio/pkg/config/mesh). A setting without effect in the sandbox is a Problem on the
ConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from meshkit.kube import yaml_input
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry

CONFIG_MAP = "istio"
_WITHOUT_EFFECT_HERE = {
    # Ports, files, tracing, metrics and DNS of real proxies: nothing of them changes where requests go.
    *("accessLogFile", "accessLogFormat", "accessLogEncoding", "enableTracing", "defaultConfig"),
    *("defaultProviders", "extensionProviders", "rootNamespace", "enablePrometheusMerge"),
    *("proxyListenPort", "proxyHttpPort", "ingressService", "ingressSelector", "ingressControllerMode"),
    *("ingressClass", "dnsRefreshRate", "protocolDetectionTimeout", "configSources", "discoverySelectors"),
}


@dataclass(frozen=True)
class MeshConfig:
    """The mesh-wide settings."""

    registry_only: bool = False
    automatic_tls: bool = True
    connect_timeout_s: float = 10.0
    retries: Mapping[str, Any] | None = None
    locality: Mapping[str, Any] = field(default_factory=lambda: {"enabled": True})
    default_policy: Mapping[str, Any] = field(default_factory=dict)
    tcp_keepalive: Mapping[str, Any] | None = None
    http2: bool = False
    trust_domain: str = CLUSTER_DOMAIN
    trust_domain_aliases: tuple[str, ...] = ()
    exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By resource (``virtualservices``): where objects without ``exportTo`` are seen, if not everywhere."""

    @classmethod
    def of(cls, registry: Registry) -> tuple[MeshConfig, tuple[Problem, ...]]:
        """The mesh config, and problems for settings that are not supported.

        Raises ValueError if it is invalid; istiod then keeps the last valid one.
        """
        return registry.derived("mesh config", lambda: cls._of(registry))

    @classmethod
    def _of(cls, registry: Registry) -> tuple[MeshConfig, tuple[Problem, ...]]:
        named = {item["metadata"]["name"]: item for item in registry.of("configmaps")}
        # A mesh that was installed by revisions alone has no ConfigMap of the default one.
        of_revisions = [name for name in sorted(named) if _is_of_a_revision(named[name])]
        item = named.get(CONFIG_MAP) or next((named[name] for name in of_revisions), None)
        if item is None:
            return cls(), ()
        written = written_of(item)
        try:
            return cls._read(written), tuple(_problems(item, written))
        except (AttributeError, TypeError, ValueError) as cause:
            raise ValueError(f"data.mesh is not a mesh config: {cause}") from cause

    @classmethod
    def _read(cls, written: Mapping[str, Any]) -> MeshConfig:
        outbound = written.get("outboundTrafficPolicy") or {}
        return cls(
            registry_only=outbound.get("mode") == "REGISTRY_ONLY",
            automatic_tls=bool(written.get("enableAutoMtls", True)),
            connect_timeout_s=duration_s(written.get("connectTimeout")) or 10.0,
            retries=written.get("defaultHttpRetryPolicy"),
            locality={"enabled": True, **(written.get("localityLbSetting") or {})},
            default_policy=written.get("defaultTrafficPolicy") or {},
            tcp_keepalive=written.get("tcpKeepalive"),
            http2=written.get("h2UpgradePolicy") == "UPGRADE",
            trust_domain=written.get("trustDomain") or CLUSTER_DOMAIN,
            trust_domain_aliases=tuple(written.get("trustDomainAliases") or ()),
            exports={
                resource: tuple(written[name])
                for resource, name in _EXPORTS.items()
                if written.get(name) is not None
            },
        )


def _is_of_a_revision(item: Object) -> bool:
    return item["metadata"]["name"].startswith(f"{CONFIG_MAP}-") and "mesh" in (item.get("data") or {})


def written_of(item: Object) -> Mapping[str, Any]:
    """The mesh config in a ConfigMap as it is written. Raises ValueError if it is not a mapping in YAML."""
    try:
        written = yaml_input.load((item.get("data") or {}).get("mesh") or "") or {}
    except yaml.YAMLError as cause:
        raise ValueError(f"data.mesh is not YAML: {cause}") from cause
    if not isinstance(written, dict):
        raise ValueError("data.mesh is not a mapping")
    return written


_EXPORTS = {
    "services": "defaultServiceExportTo",
    "virtualservices": "defaultVirtualServiceExportTo",
    "destinationrules": "defaultDestinationRuleExportTo",
}
_READ = {
    *("outboundTrafficPolicy", "enableAutoMtls", "connectTimeout", "defaultHttpRetryPolicy"),
    *("localityLbSetting", "defaultTrafficPolicy", "tcpKeepalive", "h2UpgradePolicy", *_EXPORTS.values()),
    *("trustDomain", "trustDomainAliases"),
}


def _problems(item: Object, written: Mapping[str, Any]) -> list[Problem]:
    unknown = sorted(set(written) - _READ - _WITHOUT_EFFECT_HERE)
    if written.get("rootNamespace", item["metadata"].get("namespace")) != item["metadata"].get("namespace"):
        unknown.append("rootNamespace, where it is not the control plane's own,")
    return [
        Problem(item, "NotSupported", f"data.mesh: {name} is not supported by the sandbox.")
        for name in unknown
    ]
