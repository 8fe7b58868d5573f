"""What Istio's checks ask the meaning: the callers that matter for a host, and the servers behind it.

Callers of one namespace with the same labels, as far as objects select by them, see the same routes; node and
locality change no finding. Of the namespaces only those count that an object about a host names, and one more
that stands for all the others, so the cost grows with the objects and not with objects times namespaces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import labels
from meshkit.kube.pods import is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.injection import proxies
from meshkit.meshes.istio.ambient.membership import GATEWAY_NAME
from meshkit.meshes.istio.ambient.waypoints import Waypoints
from meshkit.meshes.istio.meaning import sidecar as meaning
from meshkit.meshes.istio.meaning.hosts import Host
from meshkit.meshes.istio.meaning.mesh_config import CONFIG_MAP, MeshConfig, written_of
from meshkit.meshes.istio.meaning.mutual_tls import workload_mode
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.istio.meaning.virtual_services import hosts_of
from meshkit.meshes.istio.meaning.visibility import Caller, labels_that_matter, patterns_for, wildcards
from meshkit.meshes.model.hosts import full_host, host_of
from meshkit.meshes.model.pods import captured_of, service_account
from meshkit.meshes.view import View

KINDS: Mapping[str, Kind] = {
    **meaning.KINDS,
    "serviceaccounts": Kind("v1", "ServiceAccount"),
    "telemetries": Kind("telemetry.istio.io/v1", "Telemetry"),
    "envoyfilters": Kind("networking.istio.io/v1alpha3", "EnvoyFilter"),
}
"""What the checks read: the meaning's resources, and those that it does not know."""
_OF_NODES = ("topology.kubernetes.io/", "topology.istio.io/", "kubernetes.io/hostname")
"""Labels that Istio adds to pods from their nodes."""


class World:
    """The objects of one Istio mesh, as its own meaning reads them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.registry = view.registry(KINDS)
        self._perspectives: dict[Caller, Perspective] = {}
        self._anywhere: dict[tuple[tuple[str, str], ...], list[Object]] = {}

    @cached_property
    def mesh(self) -> MeshConfig:
        """The mesh config, or the defaults if it cannot be read."""
        try:
            return MeshConfig.of(self.registry)[0]
        except ValueError:
            return MeshConfig()

    @property
    def namespaces(self) -> frozenset[str]:
        """The names of all namespaces that are known."""
        return self.view.namespaces

    @cached_property
    def _callers(self) -> Mapping[str, Sequence[Caller]]:
        """Namespace -> its callers. Without any sidecar, as in files, every namespace calls."""
        found: dict[str, dict[Caller, None]] = defaultdict(dict)
        matter = labels_that_matter(self.registry)
        for pod in self.view.meshed:
            carried = tuple(sorted((k, v) for k, v in labels(pod).items() if k in matter))
            found[pod["metadata"]["namespace"]][Caller(pod["metadata"]["namespace"], carried)] = None
        if not found:
            return {name: (Caller(name),) for name in sorted(self.namespaces - {self.view.home})}
        return {name: tuple(callers) for name, callers in sorted(found.items())}

    @cached_property
    def _interested(self) -> Mapping[str, frozenset[str]]:
        """Host pattern -> the namespaces that an object about it stands in, is exported to or asks for."""
        found: dict[str, set[str]] = defaultdict(set)
        for service in self.registry.of("services"):
            found[host_of(service)].add(service["metadata"]["namespace"])
        for resource in ("virtualservices", "destinationrules", "serviceentries"):
            for item in self.registry.of(resource):
                spec, own = item["spec"], item["metadata"]["namespace"]
                named = {own, *(spec.get("exportTo") or ())} - {".", "*", "~"}
                for entry in spec.get("http") or ():
                    named |= {match.get("sourceNamespace") or own for match in entry.get("match") or ()}
                rule = [full_host(str(spec["host"]).lower(), own)] if spec.get("host") else []
                for host in (*hosts_of(item), *rule):
                    found[host] |= named
        return {host: frozenset(names) for host, names in found.items()}

    @cached_property
    def _wildcards(self) -> Sequence[str]:
        return wildcards(self._interested)

    def perspectives(self, *hosts: str, namespace: str = "") -> Iterator[Perspective]:
        """What the callers see that matter for any of these hosts; those of ``namespace`` first."""
        wanted = [namespace, *sorted(self._namespaces_of(hosts))]
        chosen = [name for name in dict.fromkeys(wanted) if name in self._callers]
        other = next((name for name in self._callers if name not in chosen), None)
        for name in [*chosen, *([other] if other else [])]:
            for caller in self._callers[name]:
                yield self.perspective(caller)

    def _namespaces_of(self, hosts: Iterable[str]) -> set[str]:
        index = self._interested
        return {
            name
            for host in hosts
            for pattern in patterns_for(host, index, self._wildcards)
            for name in index[pattern]
        }

    def perspective(self, caller: Caller) -> Perspective:
        """What one caller sees."""
        if caller not in self._perspectives:
            self._perspectives[caller] = Perspective(self.registry, caller, self.mesh)
        return self._perspectives[caller]

    def servers(self, host: Host, subset: Mapping[str, str]) -> list[Object] | None:
        """The live pods of a host that have the labels of a subset; None if the host is not made of pods."""
        spec = host.item["spec"]
        selector = spec.get("selector") if host.item["kind"] == "Service" else _selected(spec)
        if not selector:
            return None
        wanted = {**selector, **{k: v for k, v in subset.items() if not k.startswith(_OF_NODES)}}
        if any(selector.get(key, value) != value for key, value in wanted.items()):
            return []
        return [pod for pod in self.registry.pods_with(wanted, host.namespace) if is_live(pod)]

    def mode(self, pod: Object, port: int | None) -> str:
        """The mutual TLS mode of a pod's port; empty if the mesh does not capture it.

        In the ambient mode ztunnel captures every port, and does not turn mutual TLS off.
        """
        in_ambient = id(pod) in self.ambient
        if port is None or not (in_ambient or captured_of(pod, PROXY, {port})):
            return ""
        mode = workload_mode(self.registry, pod["metadata"]["namespace"], labels(pod), port)
        return "PERMISSIVE" if in_ambient and mode == "DISABLE" else mode

    @cached_property
    def accounts(self) -> Mapping[str, frozenset[str]]:
        """Namespace -> the ServiceAccounts that its pods with sidecars have."""
        found: dict[str, set[str]] = defaultdict(set)
        for pod in self.view.meshed:
            found[pod["metadata"]["namespace"]].add(service_account(pod))
        return {namespace: frozenset(names) for namespace, names in found.items()}

    def pods_anywhere(self, wanted: Mapping[str, str]) -> list[Object]:
        """The live pods of all namespaces that have these labels; all pods if no label is given."""
        key = tuple(sorted(wanted.items()))
        if key not in self._anywhere:
            pods = self.registry.of("pods")
            self._anywhere[key] = [pod for pod in pods if is_live(pod) and selects(wanted, pod)]
        return self._anywhere[key]

    def services_selecting(self, pod: Object) -> list[Object]:
        """The Services of a pod's namespace that select it; also of a template with a namespace."""
        namespace = pod["metadata"]["namespace"]
        found = [
            service
            for label in labels(pod).items()
            for service in self._services_by_label.get((namespace, label), ())
            if selects(service["spec"]["selector"], pod)
        ]
        return sorted(found, key=lambda service: str(service["metadata"]["name"]))

    @cached_property
    def _services_by_label(self) -> Mapping[tuple[str, tuple[str, str]], Sequence[Object]]:
        """By namespace and the first label of the selector."""
        found: dict[tuple[str, tuple[str, str]], list[Object]] = defaultdict(list)
        for service in self.registry.of("services"):
            for label in list((service["spec"].get("selector") or {}).items())[:1]:
                found[service["metadata"]["namespace"], label].append(service)
        return found

    @cached_property
    def gateway_pods(self) -> Mapping[str, Sequence[Object]]:
        """Namespace -> the pods of Gateways of the Gateway API."""
        found: dict[str, list[Object]] = defaultdict(list)
        for pod in self.registry.of("pods"):
            if GATEWAY_NAME in labels(pod):
                found[pod["metadata"]["namespace"]].append(pod)
        return found

    @cached_property
    def default_log_providers(self) -> Sequence[str]:
        """The providers of access logs that the mesh config names."""
        for item in self.registry.of("configmaps"):
            if item["metadata"]["name"] == CONFIG_MAP:
                try:
                    written = written_of(item)
                except ValueError:
                    return ()
                found = (written.get("defaultProviders") or {}).get("accessLogging") or ()
                return [*found, *([written["accessLogFile"]] if written.get("accessLogFile") else [])]
        return ()

    @cached_property
    def routed_subsets(self) -> frozenset[tuple[str, str]]:
        """The hosts and subsets that some VirtualService sends requests to."""
        found = set()
        for item in self.registry.of("virtualservices"):
            own = item["metadata"]["namespace"]
            for kind in ("http", "tcp", "tls"):
                for entry in item["spec"].get(kind) or ():
                    listed = entry.get("route") or ()
                    for each in listed:
                        target = each["destination"]
                        if target.get("subset") and (len(listed) == 1 or each.get("weight")):
                            found.add((full_host(target["host"].lower(), own), target["subset"]))
        return frozenset(found)

    @cached_property
    def meshed(self) -> frozenset[int]:
        """The identities of the pods that the mesh protects, by a proxy or in its ambient mode."""
        return self.ambient | {id(pod) for pod in proxies(self.registry.of("pods"), self.view.mesh)}

    @cached_property
    def ambient(self) -> frozenset[int]:
        """The identities of the live pods of the ambient mode."""
        return frozenset(map(id, self.view.sidecarless))

    @cached_property
    def waypoints(self) -> Waypoints:
        """The waypoints, and what the labels of Services, pods and namespaces say of them."""
        return Waypoints.of(self.view.snapshot.objects)


def _selected(spec: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = (spec.get("workloadSelector") or {}).get("labels") or {}
    return found
