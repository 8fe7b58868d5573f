"""The hosts that callers can address: Services and ServiceEntries, with ports and addresses.

A ServiceEntry's addresses are those of its own list or of the pods it selects. There is no DNS in the
sandbox and no request leaves loopback: an address outside 127.0.0.0/8 is left out, with a Problem.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import selects
from meshkit.meshes.istio.meaning.proxy import PROXY, TLS_MODE, TLS_MODE_LABEL
from meshkit.meshes.istio.meaning.visibility import Caller, exported, service_exported
from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.outbound import Locality, Object, PortProtocol
from meshkit.meshes.model.pods import port_numbers, service_account
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_HTTP = ("http", "http2", "grpc", "grpc-web")
_HTTP2 = ("http2", "grpc", "grpc-web")
_NOT_HTTP = ("tcp", "udp", "tls", "https", "mongo", "mysql", "redis")
_BY_APP_PROTOCOL = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
_NEVER_DETECTED = (25, 53, 3306, 27017)
"""Ports whose servers speak first or fail on detection: TCP without a declared protocol."""


@dataclass(frozen=True)
class Workload:
    """One address behind a port."""

    address: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    locality: Locality = field(default_factory=Locality)
    node: str = ""
    weight: int = 1

    @property
    def takes_mutual_tls(self) -> bool:
        """Whether it has a sidecar."""
        return self.labels.get(TLS_MODE_LABEL) == TLS_MODE


@dataclass(frozen=True)
class HostPort:
    """A port of a host. ``source`` is what its object says of it.

    An empty ``protocol`` is detected by Istio for each connection.
    """

    number: int
    protocol: str
    source: Mapping[str, Any]

    @property
    def is_http2(self) -> bool:
        """Whether the port is declared to speak HTTP/2."""
        return self.protocol in _HTTP2

    @property
    def read_as(self) -> PortProtocol:
        """How proxies read the port. The sandbox detects nothing and reads HTTP there."""
        return read_as(self.protocol)


@dataclass(frozen=True)
class Host:
    """A name that callers use, in full, and the object that it comes from."""

    name: str
    namespace: str
    ports: tuple[HostPort, ...]
    item: Object
    external: bool = False
    as_asked: bool = False
    domains: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    workloads: Mapping[int, tuple[Workload, ...]] = field(default_factory=dict)

    @property
    def declared(self) -> list[int]:
        """The numbers of the ports that its object declares, also of those that are not carried."""
        ports = self.item["spec"].get("ports") or ()
        return [int(port.get("port") or port.get("number") or 0) for port in ports]


def hosts_for(work: Translation, caller: Caller, default_export: tuple[str, ...]) -> list[Host]:
    """All hosts that a caller can address.

    Where a Service and a ServiceEntry share a name the Service is meant.
    """
    found: dict[str, Host] = {}
    for service in work.registry.of("services"):
        if is_host(service, caller, default_export):
            host = service_host(work.registry, service, caller)
            found[host.name] = host
    for entry in work.registry.of("serviceentries"):
        if exported(entry, caller, default_export):
            for host in entry_hosts(work, entry):
                found.setdefault(host.name, host)
    return list(found.values())


def is_host(service: Object, caller: Caller, default_export: tuple[str, ...]) -> bool:
    """Whether a Service is a host of its own for a caller: it is exported to it and no ExternalName."""
    return not _is_alias(service) and service_exported(service, caller, default_export)


def _is_alias(service: Object) -> bool:
    return bool(service["spec"].get("type") == "ExternalName")


def concrete_host(registry: Registry, name: str) -> str:
    """The host that a host stands for: a Service of type ExternalName is another name for its target."""
    targets = registry.derived("targets of external names", lambda: _targets(registry))
    passed: set[str] = set()
    while name in targets and name not in passed:
        passed.add(name)
        name = targets[name]
    return name


def _targets(registry: Registry) -> dict[str, str]:
    return {
        host_of(service): str(service["spec"].get("externalName", "")).lower()
        for service in registry.of("services")
        if _is_alias(service)
    }


def _aliases(registry: Registry) -> dict[str, list[Object]]:
    """Full host name -> the Services of type ExternalName that stand for it."""
    found: dict[str, list[Object]] = {}
    for service in registry.of("services"):
        if _is_alias(service):
            found.setdefault(concrete_host(registry, host_of(service)), []).append(service)
    return found


def _domains(registry: Registry, service: Object, port: int, namespace: str) -> tuple[str, ...]:
    """The names of a Service port for callers of a namespace, those of its aliases included."""
    found = domains_of(service, port, namespace)
    aliases = registry.derived("aliases of hosts", lambda: _aliases(registry))
    for alias in aliases.get(host_of(service), ()):
        named = {**alias, "spec": {"ports": service["spec"].get("ports")}}
        found = (*found, *domains_of(named, port, namespace))
    return found


def locality_of(registry: Registry, node: str) -> Locality:
    """The locality that a node's labels name."""
    return registry.derived("localities", lambda: _localities(registry)).get(node, Locality())


def _localities(registry: Registry) -> dict[str, Locality]:
    found: dict[str, Locality] = {}
    for item in registry.of("nodes"):
        labels = item["metadata"].get("labels") or {}
        found[item["metadata"]["name"]] = Locality(
            labels.get("topology.kubernetes.io/region", ""),
            labels.get("topology.kubernetes.io/zone", ""),
            labels.get("topology.istio.io/subzone", ""),
        )
    return found


def service_host(registry: Registry, service: Object, caller: Caller) -> Host:
    """The host of a Service. Callers of one namespace know it by the same names."""
    made: dict[tuple[int, str], Host] = registry.derived("hosts of services", dict)
    key = (id(service), caller.namespace)
    if key not in made:
        if (id(service), "") not in made:
            made[id(service), ""] = _service_host(registry, service)
        general = made[id(service), ""]
        domains = {
            port.number: _domains(registry, service, port.number, caller.namespace) for port in general.ports
        }
        made[key] = replace(general, domains=domains)
    return made[key]


def _service_host(registry: Registry, service: Object) -> Host:
    """The host of a Service without its names, which is the same for every caller."""
    namespace = service["metadata"]["namespace"]
    ports = tuple(HostPort(int(port["port"]), protocol_of(port), port) for port in _ports(service))
    accounts = sorted({service_account(pod) for pod in registry.pods_of(service)})
    return Host(
        host_of(service),
        namespace,
        ports,
        service,
        identities=tuple(PROXY.identity(namespace, account) for account in accounts),
        workloads={
            port.number: tuple(
                _of_pod(registry, backing.address, backing.port, backing.pod)
                for backing in registry.backings(service, port.source)
            )
            for port in ports
        },
    )


def _of_pod(registry: Registry, address: str, port: int, pod: Object | None) -> Workload:
    if pod is None:
        return Workload(address, port)
    node = pod["spec"].get("nodeName", "")
    return Workload(address, port, pod["metadata"].get("labels") or {}, locality_of(registry, node), node)


def protocol_of(port: Mapping[str, Any]) -> str:
    """The protocol of a Service port: by ``appProtocol``, else by the prefix of its name.

    Empty where Istio detects it for each connection (pkg/config/kube, ConvertProtocol).
    """
    if port.get("protocol") == "UDP":
        return "udp"
    written = str(port.get("appProtocol") or port.get("name") or "").lower()
    if port.get("appProtocol") and written in _BY_APP_PROTOCOL:
        return _BY_APP_PROTOCOL[written]
    prefix = "grpc-web" if written.startswith("grpc-web") else written.partition("-")[0]
    if prefix in (*_HTTP, *_NOT_HTTP):
        return prefix
    return "tcp" if int(port["port"]) in _NEVER_DETECTED else ""


def read_as(protocol: str) -> PortProtocol:
    """How proxies read the connections of a protocol."""
    return "tcp" if protocol in _NOT_HTTP else "http"


def inbound_protocol(registry: Registry, pod: Object, number: int) -> PortProtocol:
    """How a pod's proxy reads a port: by the oldest Service that leads to it; without any it detects."""
    namespace = pod["metadata"]["namespace"]
    if not any(_leads(*each, pod, number) for each in tcp_ports(registry).get(namespace, ())):
        return "http"
    every = ((service, port) for service in registry.of("services", namespace) for port in _ports(service))
    return next(read_as(protocol_of(port)) for service, port in every if _leads(service, port, pod, number))


def tcp_ports(registry: Registry) -> Mapping[str, list[tuple[Object, Mapping[str, Any]]]]:
    """By namespace: the Services and their ports that are TCP."""
    return registry.derived("tcp ports", lambda: _tcp_ports(registry))


def _tcp_ports(registry: Registry) -> Mapping[str, list[tuple[Object, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[Object, Mapping[str, Any]]]] = {}
    for service in registry.of("services"):
        for port in _ports(service):
            if read_as(protocol_of(port)) == "tcp":
                found.setdefault(service["metadata"]["namespace"], []).append((service, port))
    return found


def _ports(service: Object) -> list[Mapping[str, Any]]:
    """The ports of a Service that proxies serve: none of UDP."""
    return [port for port in service["spec"].get("ports") or () if port.get("protocol") != "UDP"]


def _leads(service: Object, port: Mapping[str, Any], pod: Object, number: int) -> bool:
    target = port_numbers(pod, port.get("targetPort") or int(port["port"]))
    selector = service["spec"].get("selector")
    return number in target and bool(selector) and selects(selector, pod)


def entry_hosts(work: Translation, entry: Object) -> Iterable[Host]:
    """The hosts of a ServiceEntry."""
    spec, namespace = entry["spec"], entry["metadata"]["namespace"]
    resolution = spec.get("resolution", "NONE")
    named = [port for port in spec.get("ports") or () if _carried(work, entry, port)]
    ports = tuple(HostPort(int(port["number"]), _declared(port), port) for port in named)
    workloads = {port.number: tuple(_entry_workloads(work, entry, port)) for port in ports}
    if resolution not in ("STATIC", "NONE") and not any(workloads.values()):
        work.ignore(
            entry,
            f"spec.resolution: {resolution}: there is no DNS in the sandbox; list endpoints on 127.0.0.0/8. "
            "Until then its requests are answered with 503.",
        )
    for host in spec.get("hosts") or ():
        yield Host(
            host.lower(),
            namespace,
            ports,
            entry,
            external=spec.get("location", "MESH_EXTERNAL") == "MESH_EXTERNAL",
            as_asked=resolution == "NONE",
            domains={port.number: _entry_domains(host.lower(), spec, port.number) for port in ports},
            identities=tuple(spec.get("subjectAltNames") or ()),
            workloads=workloads,
        )


def _carried(work: Translation, entry: Object, port: Mapping[str, Any]) -> bool:
    if _declared(port) in ("", *_HTTP, *_NOT_HTTP) and _declared(port) != "udp":
        return True
    work.ignore(entry, f"spec.ports: {port['name']}: {port['protocol']} is not carried by the sandbox.")
    return False


def _declared(port: Mapping[str, Any]) -> str:
    """The protocol of a ServiceEntry's port; empty where Istio detects it for each connection."""
    return str(port.get("protocol") or "").lower()


def _entry_domains(host: str, spec: Mapping[str, Any], port: int) -> tuple[str, ...]:
    """A host with its port; without it where that is 80, as in a URL."""
    names = [host, f"{host}.", *(address for address in spec.get("addresses") or () if "/" not in address)]
    return (*(names if port == 80 else ()), *(f"{name}:{port}" for name in names))


def _entry_workloads(work: Translation, entry: Object, port: HostPort) -> Iterable[Workload]:
    spec = entry["spec"]
    target = int(port.source.get("targetPort") or port.number)
    selector = (spec.get("workloadSelector") or {}).get("labels")
    if selector:
        for pod in work.registry.of("pods", entry["metadata"]["namespace"]):
            address = (pod.get("status") or {}).get("podIP")
            if address and is_ready(pod) and selects(selector, pod):
                yield _of_pod(work.registry, address, target, pod)
    for endpoint in spec.get("endpoints") or ():
        address = endpoint.get("address", "")
        if not is_loopback(address):
            work.ignore(
                entry,
                f"spec.endpoints: {address!r} is left out: no request leaves 127.0.0.0/8 in the sandbox.",
            )
            continue
        number = int((endpoint.get("ports") or {}).get(port.source["name"]) or target)
        labels = endpoint.get("labels") or {}
        locality = locality_named(endpoint.get("locality", ""))
        yield Workload(address, number, labels, locality, weight=int(endpoint.get("weight") or 1))


def locality_named(text: str) -> Locality:
    """``region/zone/subzone``, as Istio writes localities."""
    region, zone, subzone = [*text.split("/"), "", "", ""][:3]
    return Locality(region, zone, subzone)


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine's own."""
    try:
        return ipaddress.ip_address(address) in _LOOPBACK
    except ValueError:
        return False
