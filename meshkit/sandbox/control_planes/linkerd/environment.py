"""The environment of Linkerd's proxy, as its injector writes it.

Linkerd's destination controller reads from it where the proxy of an endpoint listens. The sandbox's own proxy
reads the trust anchors only. Values of the charts count where the charts can change them without annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.kube.metadata import annotations_of
from meshkit.meshes.linkerd.meaning.authorization import ALL, INBOUND_POLICY
from meshkit.meshes.linkerd.meaning.protocols import BY_DEFAULT, OPAQUE
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.injector import Injector

Json = Mapping[str, Any]
Variable = dict[str, Any]
PORTS = {"admin": 4191, "control": 4190, "inbound": 4143, "outbound": 4140}
INJECT = "linkerd.io/inject"
"""The annotation that asks for a proxy, and for which mode of it."""
_NETWORKS = "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8"
_LOG = "warn,linkerd=info,hickory=error"
_WITHOUT_HEADERS = ",[{headers}]=off,[{request}]=off"
_ACCOUNTS = f"serviceaccount.identity.linkerd.{CLUSTER_DOMAIN}"
_PROBES = ("readinessProbe", "livenessProbe")


def environment(pod: Object, namespace: Object, injector: Injector) -> list[Variable]:
    """Return the variables of the proxy of a new pod."""
    proxy: Json = injector.values.get("proxy") or {}
    settings = {**annotations_of(namespace), **annotations_of(pod)}
    return [
        *_pod(),
        *_general(proxy, str(injector.values.get("clusterNetworks") or _NETWORKS)),
        _value(
            "INBOUND_DEFAULT_POLICY", settings.get(INBOUND_POLICY) or proxy.get("defaultInboundPolicy") or ALL
        ),
        *_addresses(proxy.get("ports") or {}),
        {"name": f"{_PREFIX}INBOUND_IPS", **_field("status.podIPs")},
        _value("INBOUND_PORTS", ",".join(sorted(map(str, _inbound_ports(pod))))),
        _value(
            "INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION",
            _opaque_ports(pod, str(settings.get(OPAQUE, proxy.get("opaquePorts", BY_DEFAULT)))),
        ),
        *([_value("INGRESS_MODE", "true")] if settings.get(INJECT) == "ingress" else ()),
        *_identity(injector.roots),
    ]


_PREFIX = "LINKERD2_PROXY_"


def _value(name: str, value: object) -> Variable:
    return {"name": f"{_PREFIX}{name}", "value": str(value)}


def _field(path: str) -> Variable:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _pod() -> Iterator[Variable]:
    fields = {
        "_pod_name": "metadata.name",
        "_pod_ns": "metadata.namespace",
        "_pod_uid": "metadata.uid",
        "_pod_ip": "status.podIP",
        "_pod_nodeName": "spec.nodeName",
        "_pod_sa": "spec.serviceAccountName",
    }
    for name, path in fields.items():
        yield {"name": name, **_field(path)}
    yield {"name": "_pod_containerName", "value": PROXY.container}
    yield {"name": "_l5d_ns", "value": "linkerd"}
    yield {"name": "_l5d_trustdomain", "value": CLUSTER_DOMAIN}


def _general(proxy: Json, networks: str) -> Iterator[Variable]:
    """What is the same for all pods, apart from the values of the charts."""
    log = str(proxy.get("logLevel") or _LOG)
    streams = (proxy.get("control") or {}).get("streams") or {}
    given = {
        "CORES": 1,
        "CORES_MIN": 1,
        "SHUTDOWN_ENDPOINT_ENABLED": "false",
        "LOG": log if proxy.get("logHTTPHeaders") == "insecure" else f"{log}{_WITHOUT_HEADERS}",
        "LOG_FORMAT": proxy.get("logFormat") or "plain",
        "DESTINATION_SVC_ADDR": f"linkerd-dst-headless.linkerd.svc.{CLUSTER_DOMAIN}.:8086",
        "DESTINATION_PROFILE_NETWORKS": networks,
        "POLICY_SVC_ADDR": f"linkerd-policy.linkerd.svc.{CLUSTER_DOMAIN}.:8090",
        "POLICY_WORKLOAD": '{"ns":"$(_pod_ns)", "pod":"$(_pod_name)"}\n',
        "POLICY_CLUSTER_NETWORKS": networks,
        "CONTROL_STREAM_INITIAL_TIMEOUT": streams.get("initialTimeout", "3s"),
        "CONTROL_STREAM_IDLE_TIMEOUT": streams.get("idleTimeout", "5m"),
        "CONTROL_STREAM_LIFETIME": streams.get("lifetime", "1h"),
        "INBOUND_CONNECT_TIMEOUT": proxy.get("inboundConnectTimeout", "100ms"),
        "OUTBOUND_CONNECT_TIMEOUT": proxy.get("outboundConnectTimeout", "1000ms"),
        "OUTBOUND_DISCOVERY_IDLE_TIMEOUT": proxy.get("outboundDiscoveryCacheUnusedTimeout", "5s"),
        "INBOUND_DISCOVERY_IDLE_TIMEOUT": proxy.get("inboundDiscoveryCacheUnusedTimeout", "90s"),
        "DESTINATION_PROFILE_SUFFIXES": f"svc.{CLUSTER_DOMAIN}.",
        "INBOUND_ACCEPT_KEEPALIVE": "10000ms",
        "OUTBOUND_CONNECT_KEEPALIVE": "10000ms",
        "INBOUND_ACCEPT_USER_TIMEOUT": "30s",
        "OUTBOUND_CONNECT_USER_TIMEOUT": "30s",
        "OUTBOUND_METRICS_HOSTNAME_LABELS": "false",
        "DESTINATION_CONTEXT": '{"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)", "pod":"$(_pod_name)"}\n',
    }
    for side in ("INBOUND", "OUTBOUND"):
        given[f"{side}_SERVER_HTTP2_KEEP_ALIVE_INTERVAL"] = "10s"
        given[f"{side}_SERVER_HTTP2_KEEP_ALIVE_TIMEOUT"] = "3s"
    return (_value(name, value) for name, value in given.items())


def _addresses(ports: Json) -> Iterator[Variable]:
    numbers = {**PORTS, **ports}
    for name in ("control", "admin", "inbound"):
        yield _value(f"{name.upper()}_LISTEN_ADDR", f"0.0.0.0:{numbers[name]}")
    for name in ("OUTBOUND_LISTEN_ADDR", "OUTBOUND_LISTEN_ADDRS"):
        yield _value(name, f"127.0.0.1:{numbers['outbound']}")


def _identity(roots: str) -> Iterator[Variable]:
    given = {
        "IDENTITY_DIR": "/var/run/linkerd/identity/end-entity",
        "IDENTITY_TOKEN_FILE": "/var/run/secrets/tokens/linkerd-identity-token",
        "IDENTITY_SVC_ADDR": f"linkerd-identity-headless.linkerd.svc.{CLUSTER_DOMAIN}.:8080",
        "IDENTITY_LOCAL_NAME": f"$(_pod_sa).$(_pod_ns).{_ACCOUNTS}",
        "IDENTITY_SVC_NAME": f"linkerd-identity.linkerd.{_ACCOUNTS}",
        "DESTINATION_SVC_NAME": f"linkerd-destination.linkerd.{_ACCOUNTS}",
        "POLICY_SVC_NAME": f"linkerd-destination.linkerd.{_ACCOUNTS}",
    }
    yield from (_value(name, value) for name, value in given.items())
    if roots:
        yield {"name": PROXY.roots_variable, "value": roots}


def _inbound_ports(pod: Object) -> set[int]:
    """The ports of the containers, and those that kubelet asks by number."""
    found: set[int] = set()
    for container in containers_of(pod):
        found |= {int(port["containerPort"]) for port in container.get("ports") or ()}
        asked = ((container.get(probe) or {}).get("httpGet") or {} for probe in _PROBES)
        found |= {get["port"] for get in asked if isinstance(get.get("port"), int)}
    return found


def _opaque_ports(pod: Object, listed: str) -> str:
    """The opaque ports with the number of each port that is listed by its name."""
    named = {
        port["name"]: port["containerPort"]
        for container in containers_of(pod)
        for port in container.get("ports") or ()
        if port.get("name")
    }
    parts = (part.strip() for part in listed.split(","))
    return ",".join(str(named.get(part, part)) for part in parts if part)


def containers_of(pod: Object) -> Iterator[Json]:
    """The containers of a pod in the order in which Linkerd's injector lists their ports."""
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"].get("containers") or ()
