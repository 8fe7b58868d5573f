"""What one caller sees of the mesh, computed part by part when it is asked for.

``sidecar.outbound`` translates everything for a proxy. A question about one host needs little of that, and in
a large cluster there are many hosts and callers: a ``Perspective`` has the same parts, and computes only
those that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from meshkit.meshes.istio.meaning.destinations.clusters import Clusters
from meshkit.meshes.istio.meaning.destinations.rules import DestinationRules
from meshkit.meshes.istio.meaning.hosts import Host, entry_hosts, is_host, service_host
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.routes import Routing
from meshkit.meshes.istio.meaning.virtual_services import VirtualServices
from meshkit.meshes.istio.meaning.visibility import Caller, exported
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation


class Perspective:
    """The hosts, rules, clusters and routes of one caller."""

    def __init__(self, registry: Registry, caller: Caller, mesh: MeshConfig) -> None:
        self.registry = registry
        self.caller = caller
        self.mesh = mesh
        self.work = Translation(registry, caller.namespace)
        """It has the problems of all that was computed so far."""

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts that the caller can address, by their full names."""
        return Hosts(self.work, self.caller, self.mesh.exports.get("services", ()))

    @cached_property
    def rules(self) -> DestinationRules:
        """The DestinationRules that apply to the caller."""
        return DestinationRules(self.work, self.caller, self.mesh.exports.get("destinationrules", ()))

    @cached_property
    def clusters(self) -> Clusters:
        """The clusters of the caller."""
        return Clusters(self.work, self.caller, self.mesh, self.hosts, self.rules)

    @cached_property
    def services(self) -> VirtualServices:
        """The VirtualServices that apply to the caller."""
        return VirtualServices(self.work, self.caller, self.mesh.exports.get("virtualservices", ()))

    @cached_property
    def routing(self) -> Routing:
        """The routes of the caller."""
        return Routing(
            self.work,
            self.caller,
            self.mesh,
            self.hosts,
            self.clusters,
            self.clusters.policies,
            self.services,
        )


def services_by_host(registry: Registry) -> Mapping[str, Object]:
    """Full host name -> Service."""
    return registry.derived(
        "services by host", lambda: {host_of(service): service for service in registry.of("services")}
    )


def entries_by_host(registry: Registry) -> Mapping[str, list[Object]]:
    """Host of a ServiceEntry, perhaps a wildcard -> the ServiceEntries that register it, oldest first."""

    def index() -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for entry in registry.of("serviceentries"):
            for host in entry["spec"].get("hosts") or ():
                found.setdefault(host.lower(), []).append(entry)
        return found

    return registry.derived("serviceentries by host", index)


class Hosts(Mapping[str, Host]):
    """The hosts that a caller can address. A Service comes before a ServiceEntry of the same name."""

    def __init__(self, work: Translation, caller: Caller, default_export: tuple[str, ...]) -> None:
        self._work = work
        self._caller = caller
        self._default_export = default_export
        self._services = services_by_host(work.registry)
        self._entries = entries_by_host(work.registry)
        self._made: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return self._service(str(name)) is not None or self._entry(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._services if self._service(name))
        yield from (name for name in self._entries if not self._service(name) and self._entry(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _service(self, name: str) -> Object | None:
        service = self._services.get(name)
        return service if service and is_host(service, self._caller, self._default_export) else None

    def _entry(self, name: str) -> Object | None:
        mine, default = self._caller, self._default_export
        seen = (entry for entry in self._entries.get(name, ()) if exported(entry, mine, default))
        return next(seen, None)

    def _make(self, name: str) -> Host:
        service = self._service(name)
        if service is not None:
            return service_host(self._work.registry, service, self._caller)
        entry = self._entry(name)
        if entry is None:
            raise KeyError(name)
        return next(host for host in entry_hosts(self._work, entry) if host.name == name)
