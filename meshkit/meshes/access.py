"""Resolve an ``Access`` intent in a cluster: its pods, their ports and the callers' ServiceAccounts.

Meshes authorize at the pod, by its container port and the ServiceAccount in the caller's certificate. So a
port of the Service is resolved to container ports, and a workload to its ServiceAccount.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.security import Access, Caller
from meshkit.kube.kinds import DEPLOYMENT, POD, SERVICE
from meshkit.kube.selectors import selected_pods, selects
from meshkit.meshes.model.pods import port_numbers


@dataclass(frozen=True)
class Target:
    """The pods behind a Service."""

    selector: Mapping[str, str]
    ports: tuple[int, ...]
    """The container ports that the intent allows."""
    offered: tuple[int, ...]
    """The container ports that any Service exposes on these pods; the intent closes all others of these."""
    service_ports: tuple[Mapping[str, Any], ...]
    """The ports of the Service that the intent allows, as written in the Service."""
    pods: tuple[Object, ...]


UNTIL = "meshkit.dev/access-until"
"""The annotation with the last day of an exception, on the object that names its callers."""


@dataclass(frozen=True)
class Shadow:
    """How a mesh counts whom an access rule would refuse, without refusing anyone."""

    kind: Kind
    """The kind of the objects that carry the mode."""
    is_on: Callable[[Object], bool]
    """Whether an object only counts."""
    enforced: Callable[[Object], Object]
    """The object as it is once it refuses."""
    holders: Kind
    """The kind of the objects that name the callers, and have the annotation ``UNTIL``."""
    callers: Callable[[Object], tuple[Caller, ...]]
    """The callers that such an object names, if an ``Access`` wrote it; else any or none."""


@dataclass(frozen=True)
class Account:
    """The ServiceAccount of a caller; ``name`` None means every ServiceAccount of the namespace."""

    namespace: str
    name: str | None


def needs(intent: Access, *kinds: Kind) -> tuple[Need, ...]:
    """The needs of ``target`` and ``accounts``, plus these kinds in the Service's namespace."""
    seen = [Need(kind, intent.namespace) for kind in (SERVICE, POD, *kinds)]
    return (*seen, *(Need(DEPLOYMENT, caller.namespace) for caller in intent.callers if caller.workload))


def marks(intent: Access) -> dict[str, str]:
    """The annotations of the object that names the callers."""
    return {UNTIL: intent.until} if intent.until else {}


def target(intent: Access, snapshot: Snapshot) -> Target:
    """The pods and ports of the Service. Raises ``BadInput`` if it, its selector or the port is missing."""
    service = snapshot.find("Service", intent.service, intent.namespace)
    where = f"{intent.namespace}/{intent.service}"
    if service is None:
        remedy = "Create it, or correct namespace and service."
        raise BadInput("access.service", f"there is no Service {where}.", remedy=remedy)
    selector = service["spec"].get("selector")
    if not selector:
        remedy = "Name a Service with a selector: access rules apply to pods."
        raise BadInput("access.service", f"Service {where} selects no pods.", remedy=remedy)
    pods = tuple(selected_pods(selector, intent.namespace, snapshot))
    wanted = [p for p in service["spec"].get("ports") or () if intent.port in (None, p["port"])]
    if not wanted:
        known = ", ".join(str(port["port"]) for port in service["spec"].get("ports") or ())
        problem = f"Service {where} has no port {intent.port}."
        raise BadInput("access.port", problem, remedy=f"Name one of its ports: {known}.")
    sharing = [
        other
        for other in snapshot.of("Service", intent.namespace)
        if other["spec"].get("selector") and any(selects(other["spec"]["selector"], pod) for pod in pods)
    ]
    listed = [*(service["spec"].get("ports") or ()), *_ports(sharing)]
    return Target(
        selector=selector,
        ports=_numbers(wanted, pods),
        offered=_numbers(listed, pods),
        service_ports=tuple(wanted),
        pods=pods,
    )


def accounts(intent: Access, snapshot: Snapshot) -> tuple[Account, ...]:
    """The ServiceAccounts of the callers.

    Raises ``BadInput`` if a workload shares its account with another.
    """
    found = [_account(index, caller, snapshot) for index, caller in enumerate(intent.callers)]
    return tuple(dict.fromkeys(found))


def _account(index: int, caller: Caller, snapshot: Snapshot) -> Account:
    if caller.workload is None:
        return Account(caller.namespace, caller.service_account)
    field = f"access.callers[{index}].workload"
    deployment = snapshot.find("Deployment", caller.workload, caller.namespace)
    if deployment is None:
        problem = f"there is no Deployment {caller.namespace}/{caller.workload}."
        raise BadInput(field, problem, remedy="Correct it, or name its service_account.")
    name = _account_of(deployment)
    others = [
        other["metadata"]["name"]
        for other in snapshot.of("Deployment", caller.namespace)
        if other["metadata"]["name"] != caller.workload and _account_of(other) == name
    ]
    if others:
        listed = ", ".join(sorted(others))
        problem = f"it runs as the ServiceAccount {name}, as {listed} does: who calls is known by account."
        remedy = f"Give {caller.workload} a ServiceAccount of its own, or name service_account: {name}."
        raise BadInput(field, problem, remedy=remedy)
    return Account(caller.namespace, name)


def _account_of(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["spec"].get("serviceAccountName") or "default")


def _ports(services: Iterable[Object]) -> list[Mapping[str, Any]]:
    return [port for service in services for port in service["spec"].get("ports") or ()]


def _numbers(ports: Iterable[Mapping[str, Any]], pods: Sequence[Object]) -> tuple[int, ...]:
    """The container ports of Service ports, sorted."""
    return tuple(sorted({number for port in ports for number in _target_ports(port, pods)}))


def _target_ports(port: Mapping[str, Any], pods: Sequence[Object]) -> set[int]:
    written = port.get("targetPort") or port["port"]
    named = {written} if isinstance(written, int) else set().union(*(port_numbers(p, written) for p in pods))
    if not named:
        problem = f"the Service's port {port['port']} leads to {written!r}, and no running pod has that port."
        raise BadInput("access.service", problem, remedy="Deploy its pods first, or give the port a number.")
    return named
