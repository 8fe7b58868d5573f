"""Show the rules that hold for the ports of a Service, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Snapshot
from meshkit.kube.metadata import managers
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.explain.explainer import Explainer, Group
from meshkit.meshes.explain.port_routes import NO_CALLER, PortRoutes, port_routes
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.routing.live import objects_named
from meshkit.operations.explain import explainer_of, explainer_of_files
from meshkit.operations.routes.edit import service_of
from meshkit.operations.which_mesh import mesh_of


@dataclass(frozen=True)
class ServiceRoutes:
    """The rules of a Service's ports, or of every host with rules of its own.

    ``not_read`` lists what this account may not read; the rules hold for what was read.
    """

    service: str
    mesh: str
    ports: tuple[PortRoutes, ...]
    not_read: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The rules as a JSON-ready mapping."""
        return {
            "service": self.service,
            "mesh": self.mesh,
            "not_read": list(self.not_read),
            "ports": [each.as_record() for each in self.ports],
        }

    def __str__(self) -> str:
        nothing = f"{self.service}: no rule was found." if self.service else "No object routes requests."
        lines = [str(each) for each in self.ports] or [nothing]
        return "\n".join([*lines, *(f"not read: {each}" for each in self.not_read)])

    __repr__ = __str__


def service_routes(
    service: str = "",
    cluster: Cluster | None = None,
    *,
    port: int | None = None,
    files: Iterable[str | Path] = (),
    mesh: str | None = None,
) -> ServiceRoutes:
    """The rules for a Service, ``namespace/name``, from a cluster or from YAML files alone.

    They are what the proxies of its callers do with requests, in the order in which the rules are tried:
    conditions, destinations with shares, and policies. Without a Service, every host that objects route is
    shown. Raises ``BadInput`` for a Service or port that does not exist.
    """
    paths = tuple(files)
    if (cluster is None) == (not paths):
        raise BadInput("files", "either a cluster or files are needed.", remedy="Give one of the two.")
    namespace, name = service_of(service) if service else ("", "")
    not_read: tuple[str, ...] = ()
    if cluster is None:
        explainer = explainer_of_files(paths, mesh)
        row = registry.mesh(explainer.effective.mesh)
    else:
        spaces = [namespace] if namespace else []
        row = registry.mesh(mesh_of(cluster, mesh, spaces))
        explainer, not_read = explainer_of(cluster, row, spaces)
    host = _host(explainer, namespace, name, port) if name else ""
    found = port_routes(explainer, _callers(explainer, namespace), host, port)
    ports = tuple(_managed(each, explainer.effective.snapshot, row) for each in found)
    return ServiceRoutes(service, row.name, ports, not_read)


def _host(explainer: Explainer, namespace: str, name: str, port: int | None) -> str:
    """The host of a Service that exists and has the port."""
    services = {
        f"{each['metadata']['namespace']}/{each['metadata']['name']}": each
        for each in explainer.effective.registry.of("services")
    }
    found = services.get(f"{namespace}/{name}")
    if found is None:
        raise UnknownName("service", f"{namespace}/{name}", services)
    ports = [int(each["port"]) for each in found["spec"].get("ports") or ()]
    if port is not None and port not in ports:
        listed = ", ".join(map(str, ports))
        problem = f"Service {namespace}/{name} has no port {port}."
        raise BadInput("port", problem, remedy=f"Its ports are {listed}.")
    return host_of(found)


def _callers(explainer: Explainer, namespace: str) -> list[Group]:
    """The workloads with a proxy, or one that stands for them where there is none."""
    found = [group for group in explainer.groups if group.caller is not None]
    if found or not namespace:
        return found
    meta = {"name": "caller", "namespace": namespace, "labels": {}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}
    effective = explainer.effective
    return [Group(NO_CALLER, pod, effective.meaning.caller_of(effective.registry, pod))]


def _managed(ports: PortRoutes, seen: Snapshot, row: Mesh) -> PortRoutes:
    """The rules with the field managers of their objects."""
    rules = []
    for rule in ports.rules:
        objects = objects_named(rule.ruler, row, seen) if rule.ruler else []
        owners = dict.fromkeys(owner for each in objects for owner in managers(each, "spec"))
        rules.append(replace(rule, managers=tuple(owners)))
    return replace(ports, rules=tuple(rules))
