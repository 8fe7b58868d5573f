"""The facts about one mesh that ``checks/`` uses, and the checks that only this mesh has.

Each mesh defines one ``MeshChecks`` in its folder ``checks``; it is ``registry.mesh(name).checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Kind, Severity
from meshkit.kube.metadata import title
from meshkit.meshes.model.outbound import Problem
from meshkit.meshes.view import View

Check = Callable[[View], Iterator[Finding]]


def findings_of(problems: Iterable[Problem], by_reason: Mapping[str, Code]) -> Iterator[Finding]:
    """The findings for problems with these reasons. What only the sandbox cannot do has no code."""
    for problem in problems:
        if code := by_reason.get(problem.reason):
            yield codes.finding(code, title(problem.object), f"{problem.message.removesuffix('.')}.")


class KubernetesRange(NamedTuple):
    """The versions of Kubernetes that a version of a mesh supports; ``newest`` is None if it names none."""

    oldest: tuple[int, int]
    newest: tuple[int, int] | None = None

    def __str__(self) -> str:
        first, last = (".".join(map(str, each)) for each in (self.oldest, self.newest or self.oldest))
        return f"{first} to {last}" if self.newest else f"{first} and later"


class Authority(NamedTuple):
    """A Secret in the control plane's namespace that may hold the mesh's CA, and its certificates' keys."""

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
    """The init container that fails if the agent did not set up traffic capture."""
    is_expected: Callable[[View], bool] = _never
    """Whether new pods need the agent, by the configuration of the installation."""


@dataclass(frozen=True)
class PortProtocols:
    """How a mesh determines the protocol of a Service's port."""

    app_protocols: frozenset[str]
    """The supported values of appProtocol, in lower case."""
    name_prefixes: frozenset[str] | None
    """The supported prefixes of port names; None if the mesh does not use names."""
    unknown_effect: str
    """The mesh's reaction to another appProtocol, as a verb phrase: ``guesses the protocol``."""


@dataclass(frozen=True)
class MeshChecks:
    """The facts about one mesh that checks compare a cluster with, and the mesh's own checks."""

    kinds: tuple[Kind, ...]
    """The kinds that its own checks read, in addition to ``view.NEEDED``."""
    kubernetes: Callable[[str], KubernetesRange | None]
    """The versions of Kubernetes that a version of the mesh supports; None if that is not known."""
    init_container: str
    """The init container that sets up traffic capture without a CNI node agent."""
    node_agent: NodeAgent
    definitions: tuple[Kind, ...]
    """The mesh's own kinds in the versions that meshkit writes."""
    authorities: tuple[Authority, ...]
    """The Secrets that may hold the mesh's CA; the first that exists is used."""
    gateway_versions: tuple[GatewayVersion, ...]
    called_ports: tuple[CalledPort, ...]
    port_protocols: PortProtocols
    before: tuple[Check, ...]
    """The mesh's own checks before it is installed."""
    running: tuple[Check, ...]
    """The mesh's own checks once it is installed."""
    of_objects: tuple[Check, ...] = ()
    """Those of ``running`` that need no control plane, for files that are not applied yet."""
    requires_gateway_api: bool = False
    """Whether the control plane needs the Gateway API's CRDs when it starts."""
