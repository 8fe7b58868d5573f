"""Follow requests through the meaning of a Snapshot: for one request, or for all requests to a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import group_of, title
from meshkit.kube.pods import has_sidecar, is_live
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.destinations import destination_of
from meshkit.meshes.explain.notes import NOT_CARRIED, Named, title_of, unresolved
from meshkit.meshes.explain.probes import Asked, asked, probes
from meshkit.meshes.explain.servers import Servers
from meshkit.meshes.explain.ways import Destination, Way, together
from meshkit.meshes.model import requests, words
from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.named_pods import NamedPod, named_pods, with_named_pods
from meshkit.meshes.model.outbound import (
    Backend,
    Cluster,
    Match,
    Outbound,
    Problem,
    Route,
    VirtualHost,
    cluster_name,
)
from meshkit.meshes.model.pods import calls_past, workload_name
from meshkit.meshes.model.registry import Backing
from meshkit.meshes.model.requests import NotKnown, Request, Taken, route_of, sent, virtual_host_of

_NO_PROXY = "no rule: the caller has no proxy of the mesh"
_NOT_FOLLOWED = ", and meshkit does not follow requests there"
_UNREGISTERED = "the host is not registered in the mesh: the request leaves it as it is."


@dataclass(frozen=True)
class Group:
    """Pods of one workload: ``pod`` stands for all of them. ``caller`` is None without a proxy."""

    name: str
    pod: Object
    caller: Any


@dataclass(frozen=True)
class Explainer:
    """Follows requests. ``foreign`` are the kinds that change requests and that the meaning does not know.

    ``addresses_known`` is False where pods have no real addresses yet, as in files.
    """

    effective: Effective
    foreign: tuple[Kind, ...] = ()
    addresses_known: bool = True
    _asked: dict[Any, tuple[Asked, ...]] = field(default_factory=dict, compare=False, repr=False)
    _named: Named = field(default_factory=Named, compare=False, repr=False)
    _services: dict[Any, Object | None] = field(default_factory=dict, compare=False, repr=False)
    _outbounds: dict[Any, Outbound] = field(default_factory=dict, compare=False, repr=False)
    _by_domain: dict[Any, Mapping[str, VirtualHost]] = field(default_factory=dict, compare=False, repr=False)
    _by_name: dict[Any, Mapping[str, Cluster]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The workloads that can call, each with a pod; pods that share a configuration are preferred."""
        by_workload: dict[str, list[Object]] = {}
        for pod in self.effective.registry.of("pods"):
            if is_live(pod) and pod["metadata"]["namespace"] != self.effective.home:
                by_workload.setdefault(name_of(pod), []).append(pod)
        used: dict[Any, None] = {}
        return tuple(self._group(name, pods, used) for name, pods in sorted(by_workload.items()))

    def way(self, group: Group, request: Request) -> Way:
        """The way of one request of a caller."""
        if group.caller is None:
            return self._plain_way(group, request)
        outbound = self.effective.outbound(group.caller)
        host = virtual_host_of(self._domains(group), request)
        if host is not None and calls_past(group.pod, self.effective.meaning.PROXY, host.port):
            rule = f"no rule: the caller's proxy leaves out port {host.port}"
            return self._plain_way(group, replace(request, port=host.port), rule)
        if host is None:
            way = Way((group.name,), request.host, request.port or 0, rule="no rule", registered=False)
            return replace(way, not_known=(self._unregistered(group, request),))
        return self._routed(group, request, outbound, host)

    def ways_to(self, host: str, port: int | None, groups: Iterable[Group]) -> tuple[Way, ...]:
        """The ways of all requests to a host: one for each rule and for each group of equal callers."""
        return together(
            way
            for group in groups
            for number in self._ports(group, host, port)
            for way in self._all(group, host, number)
        )

    def asked(self, group: Group, host: str, port: int | None) -> tuple[Asked, ...]:
        """The conditions that decide about a caller's requests to a host, the general one last."""
        key = (group.caller, group.pod["metadata"]["namespace"], host, port)
        if key not in self._asked:
            found = virtual_host_of(self._domains(group), Request(host, port)) if group.caller else None
            if found is None:
                servers = tuple(self._servers_of(host, port, group))
                plain = Route("", (Match(),))
                self._asked[key] = asked((plain,), lambda _: self.servers.conditions(servers))
            else:
                self._asked[key] = asked(found.routes, lambda route: self._conditions(group, route))
        return self._asked[key]

    def _conditions(self, group: Group, route: Route) -> Iterable[Match]:
        """The conditions of the servers that a route leads to."""
        clusters = self._clusters(group)
        named = (clusters.get(backend.cluster or "") for backend in route.backends)
        return self.servers.conditions(
            place for cluster in named if cluster for place in self.servers.behind(cluster)
        )

    def endpoints(self, group: Group, destination: Destination) -> frozenset[tuple[str, int]] | None:
        """The endpoints behind a destination of a caller; None if its proxy has no such cluster."""
        name = cluster_name(destination.port, destination.subset, destination.host)
        cluster = self._clusters(group).get(name)
        if cluster is None:
            return None
        return frozenset((each.address, each.port) for each in cluster.endpoints)

    @cached_property
    def servers(self) -> Servers:
        """The servers' side."""
        return Servers(self.effective, self.addresses_known)

    def _outbound(self, group: Group) -> Outbound:
        """The configuration of a caller's proxy, with the pods that headless Services name."""
        if group.caller not in self._outbounds:
            namespace = group.pod["metadata"]["namespace"]
            known = self.effective.outbound(group.caller)
            self._outbounds[group.caller] = with_named_pods(known, self.effective.registry, namespace)
        return self._outbounds[group.caller]

    def _domains(self, group: Group) -> Mapping[str, VirtualHost]:
        """The virtual hosts of a caller's proxy, by domain."""
        if group.caller not in self._by_domain:
            self._by_domain[group.caller] = requests.domains_of(self._outbound(group).hosts)
        return self._by_domain[group.caller]

    def _clusters(self, group: Group) -> Mapping[str, Cluster]:
        """The clusters of a caller's proxy, by name."""
        if group.caller not in self._by_name:
            self._by_name[group.caller] = {each.name: each for each in self._outbound(group).clusters}
        return self._by_name[group.caller]

    def _all(self, group: Group, host: str, port: int | None) -> Iterator[Way]:
        general: Way | None = None
        found: list[Way] = []
        for match, request in probes(self.asked(group, host, port), host, port):
            way = replace(self.way(group, request), conditions=words.conditions(match))
            found.append(way)
            general = way if match == Match() else general
        seen: set[Way] = set()
        for way in found:
            repeats = general is not None and (way.outcome, way.rule) == (general.outcome, general.rule)
            if way is general or (not repeats and way not in seen):
                seen.add(way)
                yield way

    def _ports(self, group: Group, host: str, port: int | None) -> Sequence[int | None]:
        """The ports of a host that a caller can address; None if there are none."""
        if port is not None:
            return (port,)
        if group.caller is None:
            service = self._service(host, None, group.pod["metadata"]["namespace"])
            return [int(each["port"]) for each in service["spec"].get("ports") or ()] if service else (None,)
        hosts = self._outbound(group).hosts
        found = [each.port for each in hosts if host.lower() in {d.partition(":")[0] for d in each.domains}]
        return tuple(dict.fromkeys(found)) or (None,)

    def _unregistered(self, group: Group, request: Request) -> str:
        """Why the mesh has no rule for the host and port of a request."""
        lacks = self._lacks(group, request)
        return f"{lacks}: the request leaves the mesh as it is." if lacks else _UNREGISTERED

    def _lacks(self, group: Group, request: Request) -> str:
        """The port that a known host does not have, as a clause; empty for other hosts."""
        known = [port for port in self._ports(group, request.host, None) if port]
        if request.port in (None, *known) or not known:
            return ""
        listed = ", ".join(map(str, sorted(known)))
        return f"{request.host} has no port {request.port}; its ports are {listed}"

    def _group(self, name: str, pods: Sequence[Object], used: dict[Any, None]) -> Group:
        meaning = self.effective.meaning
        meshed = [pod for pod in pods if has_sidecar(pod, meaning.PROXY.container)]
        if not meshed:
            return Group(name, pods[0], None)
        keys = [(meaning.caller_of(self.effective.registry, pod), pod) for pod in meshed]
        caller, pod = next((pair for pair in keys if pair[0] in used), keys[0])
        used[caller] = None
        return Group(name, pod, caller)

    def _routed(self, group: Group, request: Request, outbound: Outbound, host: VirtualHost) -> Way:
        service = host.service if host.port else request.host
        way = Way(
            (group.name,),
            service,
            host.port or request.port or 80,
            _asked(request),
            not_known=self._not_known(group, outbound.problems, service),
            problems=self._named.problems_of(outbound.problems, service),
        )
        try:
            taken = route_of(host, request)
        except NotKnown as problem:
            return replace(way, rule="not known", not_known=(f"{problem}.", *way.not_known))
        if taken is None:
            return replace(way, rule="no rule matches", answer="404: no route takes the request")
        if not host.port and (not taken.route.direct or taken.route.direct.body):
            known = (self._unregistered(group, request), *way.not_known)
            return replace(way, rule="no rule", registered=False, not_known=known)
        rule = taken.route.source or f"no route: Service {service}"
        way = replace(way, rule=rule, answer=words.answer(taken.route), actions=words.actions(taken.route))
        return self._forwarded(way, group, request, outbound, taken)

    def _forwarded(self, way: Way, group: Group, request: Request, outbound: Outbound, taken: Taken) -> Way:
        if way.answer:
            return way
        try:
            received = sent(request, taken)
        except NotKnown as problem:
            return replace(way, not_known=(f"{problem}.", *way.not_known))
        clusters = self._clusters(group)
        total = sum(backend.weight for backend in taken.route.backends) or 1
        no_endpoints = unresolved(outbound.problems)
        not_known: list[str] = []
        destinations = tuple(
            self._destination(group, received, backend, clusters, total, no_endpoints, not_known)
            for backend in taken.route.backends
        )
        return replace(way, destinations=destinations, not_known=(*dict.fromkeys(not_known), *way.not_known))

    def _destination(
        self,
        group: Group,
        request: Request,
        backend: Backend,
        clusters: Mapping[str, Cluster],
        total: int,
        no_endpoints: frozenset[str],
        not_known: list[str],
    ) -> Destination:
        there = destination_of(backend, total, clusters, no_endpoints)
        cluster = clusters.get(backend.cluster or "")
        if cluster is None or not cluster.endpoints:
            return there
        return replace(there, entries=self.servers.entries(group.pod, cluster, request, not_known))

    def _plain_way(self, group: Group, request: Request, rule: str = _NO_PROXY) -> Way:
        """The way of a request past any proxy of the caller: to the Service's endpoints, in plaintext."""
        if by := self.effective.sidecarless.get(id(group.pod)):
            way = Way((group.name,), request.host, request.port or 80, _asked(request), rule="not known")
            return replace(
                way, not_known=(f"the caller is in the mesh without a sidecar ({by}){_NOT_FOLLOWED}.",)
            )
        namespace = group.pod["metadata"]["namespace"]
        service = self._service(request.host, request.port, namespace)
        if service is None:
            way = Way((group.name,), request.host, request.port or 80, _asked(request), rule)
            lacks = self._lacks(group, request)
            return replace(
                way, registered=False, not_known=(f"{lacks or 'no Service has this host and port'}.",)
            )
        number, cluster = self._direct(service, request.port)
        not_known: list[str] = []
        entries = self.servers.entries(group.pod, cluster, request, not_known)
        answer = "" if cluster.endpoints else "no connection: no ready endpoint"
        there = Destination(
            100.0, host_of(service), number, endpoints=len(cluster.endpoints), answer=answer, entries=entries
        )
        return Way(
            (group.name,),
            host_of(service),
            number,
            _asked(request),
            rule,
            destinations=(there,),
            not_known=tuple(not_known),
        )

    def _direct(self, service: Object, port: int | None) -> tuple[int, Cluster]:
        ports = service["spec"].get("ports") or ()
        chosen = next((each for each in ports if port in (None, int(each["port"]))), None)
        number = int(chosen["port"]) if chosen else port or 0
        found = self._backings(service, chosen) if chosen else ()
        return number, self.servers.plain_cluster(cluster_name(number, "", host_of(service)), found)

    def _service(self, host: str, port: int | None, namespace: str) -> Object | None:
        key = (host, port, namespace)
        if key not in self._services:
            self._services[key] = self._find_service(host, port, namespace)
        return self._services[key]

    def _find_service(self, host: str, port: int | None, namespace: str) -> Object | None:
        wanted = host.lower() if port is None else f"{host.lower()}:{port}"
        pods = (named.target for named in self._pods.values())
        for service in (*self.effective.registry.of("services"), *pods):
            for each in service["spec"].get("ports") or ():
                names = domains_of(service, int(each["port"]), namespace)
                if wanted in names or (port is None and wanted in {name.partition(":")[0] for name in names}):
                    return service
        return None

    @cached_property
    def _pods(self) -> Mapping[tuple[str, int], NamedPod]:
        """The pods that headless Services name, by host and port."""
        found = named_pods(self.effective.registry)
        return {(host_of(each.target), int(each.port["port"])): each for each in found}

    def _backings(self, service: Object, port: Mapping[str, Any]) -> tuple[Backing, ...]:
        """What a port of a Service, or of a pod in its place, leads to."""
        named = self._pods.get((host_of(service), int(port["port"])))
        return (named.backing,) if named else self.effective.registry.backings(service, port)

    def _servers_of(self, host: str, port: int | None, group: Group) -> Iterator[tuple[Object, int]]:
        service = self._service(host, port, group.pod["metadata"]["namespace"])
        for each in (service["spec"].get("ports") or ()) if service else ():
            if service and port in (None, int(each["port"])):
                for backing in self._backings(service, each):
                    if backing.pod is not None:
                        yield backing.pod, backing.port

    def _not_known(self, group: Group, problems: Iterable[Problem], service: str) -> tuple[str, ...]:
        """The objects near this request that the meaning leaves out."""
        own = group.pod["metadata"]["namespace"]
        near = {self.effective.home, own, *service.split(".")[1:2]}
        found = [
            f"{title_of(problem.object)}: {problem.message}"
            for problem in problems
            if problem.reason == NOT_CARRIED
            and (
                problem.object["metadata"].get("namespace") in near
                or self._named.names(problem.object, service)
            )
            and problem.object.get("kind") != "Gateway"  # gateways take no requests of sidecars
        ]
        return (*found, *(text for where, text in self._foreign_objects if where in near))

    @cached_property
    def _foreign_objects(self) -> tuple[tuple[str, str], ...]:
        wanted = {(kind.group, kind.kind) for kind in self.foreign}
        return tuple(
            (item["metadata"].get("namespace", ""), f"{title(item)}: meshkit does not evaluate this kind.")
            for item in self.effective.snapshot.objects
            if (group_of(item), item["kind"]) in wanted
        )


def name_of(pod: Object) -> str:
    """The workload of a pod: ``shop/web``."""
    return f"{pod['metadata']['namespace']}/{workload_name(pod)}"


def _asked(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query)
    headers = "".join(f", {name}: {value}" for name, value in request.headers)
    return f"{request.method} {request.path}{'?' if query else ''}{query}{headers}"
