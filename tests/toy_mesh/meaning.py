"""The toy mesh means nothing to a proxy: there is no data plane of it."""

from __future__ import annotations

from typing import Any

from meshkit.facts import Kind
from meshkit.meshes.gateway_api.meaning.status import RouteStatus
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import Object, Outbound, Problem
from meshkit.meshes.model.pods import Proxy
from meshkit.meshes.model.registry import Registry

KINDS: dict[str, Kind] = {}
PROXY = Proxy(
    mesh="toy",
    container="toy-proxy",
    skipped_ports="",
    san_type="DNS",
    identity=lambda namespace, account: f"{account}.{namespace}",
)


def caller_of(registry: Registry, pod: Object) -> str:
    return str(pod["metadata"]["namespace"])


def outbound(registry: Registry, caller: Any) -> Outbound:
    return Outbound((), ())


def inbound(registry: Registry, pod: Object) -> tuple[Inbound, ...]:
    return ()


def route_problems(registry: Registry) -> tuple[Problem, ...]:
    return ()


def statuses(registry: Registry) -> tuple[RouteStatus, ...]:
    return ()
