"""The facts about one mesh that ``checks/`` uses, and the checks that only this mesh has.

Each mesh defines one ``MeshChecks`` in its folder ``checks``; it is ``registry.mesh(name).checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from meshkit.facts import Finding, Kind, Object, Severity, Snapshot
from meshkit.intent.traffic import Route
from meshkit.meshes.view import View

Check = Callable[[View], Iterator[Finding]]


class Authority(NamedTuple):
    """A Secret of the control plane's namespace that may hold the mesh's CA, and the keys of certificates."""

    secret: str
    keys: tuple[str, ...]


class GatewayVersion(NamedTuple):
    """A version of a Gateway API resource that the mesh reads, and the severity if it is not served."""

    resource: str
    version: str
    severity: Severity


class CalledPort(NamedTuple):
    """A port of the control plane that others connect to."""

    port: int
    caller: str
    component: str = ""
    """The suffix of the name of the Deployment that listens on it; empty for all Deployments."""


def _never(view: View) -> bool:
    del view
    return False


@dataclass(frozen=True)
class NodeAgent:
    """The CNI node agent of a mesh."""

    daemonset: str
    validator: str
    """The init container that fails if no agent has captured the pod's traffic."""
    is_expected: Callable[[View], bool] = _never
    """Whether new pods rely on the agent, by the configuration of the installation."""


@dataclass(frozen=True)
class PortProtocols:
    """How a mesh learns the protocol of a Service's port."""

    app_protocols: frozenset[str]
    """The values of appProtocol that it knows, in lower case."""
    name_prefixes: frozenset[str] | None
    """The prefixes of port names that it knows; None: it does not read names."""
    unknown_effect: str
    """What it does with an appProtocol that it does not know: ``guesses the protocol``."""


def _no_findings(route: Route, snapshot: Snapshot) -> Iterator[Finding]:
    del route, snapshot
    return iter(())


@dataclass(frozen=True)
class MeshChecks:
    """The facts of one mesh that checks compare a cluster with, and the mesh's own checks."""

    kinds: tuple[Kind, ...]
    """What its own checks read of the whole cluster, beside ``view.NEEDED``."""
    oldest_kubernetes: tuple[int, int]
    init_container: str
    """The init container that captures traffic where there is no CNI node agent."""
    node_agent: NodeAgent
    asks_for_injection: Callable[[Object], bool]
    """Whether a namespace asks for injection."""
    definitions: tuple[Kind, ...]
    """The mesh's own kinds in the versions that meshkit writes."""
    authorities: tuple[Authority, ...]
    """Where its CA may be; the first Secret that exists counts."""
    gateway_versions: tuple[GatewayVersion, ...]
    called_ports: tuple[CalledPort, ...]
    port_protocols: PortProtocols
    before: tuple[Check, ...]
    """Its own checks before it is installed."""
    running: tuple[Check, ...]
    """Its own checks of a running mesh."""
    of_objects: tuple[Check, ...] = ()
    """Those of ``running`` that need no control plane, for files that are not applied yet."""
    check_route: Callable[[Route, Snapshot], Iterator[Finding]] = _no_findings
    """Its own check of a planned route."""
    requires_gateway_api: bool = False
    """Whether it has to find the Gateway API when it starts."""
