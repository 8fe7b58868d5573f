"""The clusters of one caller: every port and subset of every host, each computed when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from meshkit.kube.selectors import contains
from meshkit.meshes.istio.meaning.destinations import load_balancing as locality
from meshkit.meshes.istio.meaning.destinations.rules import DestinationRule, DestinationRules
from meshkit.meshes.istio.meaning.destinations.traffic_policy import Policy, policy_of
from meshkit.meshes.istio.meaning.hosts import Host, HostPort, Workload
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.mutual_tls import namespace_mode, workload_mode
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.outbound import Cluster, Endpoint, Locality, cluster_name
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation


@dataclass(frozen=True)
class _Place:
    """A port and a subset of a host, with the rule that holds for the host."""

    host: Host
    port: HostPort
    subset: str
    rule: DestinationRule


class Clusters(Mapping[str, Cluster]):
    """By name: the cluster of every port and subset of the hosts that a caller can address."""

    def __init__(
        self,
        work: Translation,
        caller: Caller,
        mesh: MeshConfig,
        hosts: Mapping[str, Host],
        rules: DestinationRules,
    ) -> None:
        self._work = work
        self._caller = caller
        self._mesh = mesh
        self._hosts = hosts
        self._rules = rules
        self._made: dict[str, Cluster] = {}
        self.policies = Policies(self)

    def __getitem__(self, name: str) -> Cluster:
        if name not in self._made:
            place = self.place(name)
            policy = self.policies.at(name, place)
            self._made[name] = _cluster(self._work, self._caller, self._mesh, place, policy)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        for host in self._hosts.values():
            rule = self._rules.of(host)
            for port in host.ports:
                yield from (cluster_name(port.number, subset, host.name) for subset in rule.subsets)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            self.place(str(name))
        except KeyError:
            return False
        return True

    def rule_of(self, host: Host) -> DestinationRule:
        """The DestinationRules that hold for a host."""
        return self._rules.of(host)

    def place(self, name: str) -> _Place:
        """The parts of a cluster's name. Raises KeyError for one that is not there."""
        _, number, subset, host_name = name.split("|", 3)
        host = self._hosts[host_name]
        port = next((port for port in host.ports if port.number == int(number)), None)
        rule = self._rules.of(host)
        if port is None or subset not in rule.subsets:
            raise KeyError(name)
        return _Place(host, port, subset, rule)

    def policy_at(self, place: _Place) -> Policy:
        """The traffic policy of a port of a subset."""
        own = place.rule.subset_policies.get(place.subset)
        rule = place.rule
        return policy_of(rule.policy, own, place.host, place.port, self._mesh, self._work, rule.owner)


class Policies(Mapping[str, Policy]):
    """By name of a cluster: the traffic policy that it follows."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._made: dict[str, Policy] = {}

    def __getitem__(self, name: str) -> Policy:
        return self._made.get(name) or self.at(name, self._clusters.place(name))

    def at(self, name: str, place: _Place) -> Policy:
        """The policy of the cluster of this name, which is at ``place``."""
        if name not in self._made:
            self._made[name] = self._clusters.policy_at(place)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._clusters

    def __iter__(self) -> Iterator[str]:
        return iter(self._clusters)

    def __len__(self) -> int:
        return len(self._clusters)


def _source(rule: DestinationRule) -> str:
    if rule.owner is None:
        return ""
    meta = rule.owner["metadata"]
    return f"DestinationRule {meta['namespace']}/{meta['name']}"


def _cluster(work: Translation, caller: Caller, mesh: MeshConfig, place: _Place, policy: Policy) -> Cluster:
    host, port, labels = place.host, place.port, place.rule.subsets[place.subset]
    chosen = [each for each in host.workloads.get(port.number, ()) if contains(each.labels, labels)]
    endpoints, weights = _endpoints(work.registry, caller, mesh, host, policy, chosen)
    automatic = (
        mesh.automatic_tls
        and not host.external
        and namespace_mode(work.registry, host.namespace) != "DISABLE"
    )
    return Cluster(
        name=cluster_name(port.number, place.subset, host.name),
        endpoints=endpoints,
        identities=policy.names or host.identities,
        tls=policy.tls or ("auto" if automatic else "never"),
        balancing=locality.weighted(policy.balancing, weights),
        protocol=policy.protocol,
        limits=policy.limits,
        outlier=policy.outlier,
        as_asked=host.as_asked and not chosen,
        source=_source(place.rule),
    )


def _endpoints(
    registry: Registry,
    caller: Caller,
    mesh: MeshConfig,
    host: Host,
    policy: Policy,
    chosen: Iterable[Workload],
) -> tuple[tuple[Endpoint, ...], tuple[tuple[Locality, int], ...]]:
    """The endpoints in the order that locality gives them, and the weights of localities where they count."""
    listed = tuple(chosen)
    weights: tuple[tuple[Locality, int], ...] = ()
    setting, always = locality.effective_locality(policy.locality, host.item, mesh.locality)
    ranks: dict[Workload, int] = {}
    if setting is not None and setting.get("distribute"):
        listed, weights = locality.distributed(setting, caller, listed)
    elif setting is not None and (always or policy.outlier):
        ranks = locality.priorities(setting, caller, listed)
    return tuple(
        Endpoint(
            each.address,
            each.port,
            each.takes_mutual_tls
            and workload_mode(registry, host.namespace, each.labels, each.port) != "DISABLE",
            each.locality,
            ranks.get(each, 0),
            each.weight,
        )
        for each in listed
    ), weights
