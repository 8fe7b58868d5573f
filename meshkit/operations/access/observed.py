"""Observed calls held against access rules: to which Service they go, and which of them would be refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from meshkit.facts import Object
from meshkit.kube.metadata import group_of
from meshkit.kube.pods import is_live, workload
from meshkit.meshes.base import Mesh
from meshkit.meshes.explain.explainer import Explainer
from meshkit.meshes.explain.operations import operations
from meshkit.meshes.metrics import UNKNOWN, ServerCall
from meshkit.meshes.model.outbound import Match
from meshkit.meshes.model.pods import target_port
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.requests import NotKnown, Request, Sender, decide
from meshkit.operations.effects import with_objects

Judgement = Literal["allowed", "refused", "depends"]
"""``depends``: on the port, path, method or header of the request, which the counters do not tell."""


@dataclass(frozen=True)
class Place:
    """A Service and one of its ports; the port is None where it is not told."""

    service: str
    port: int | None


@dataclass(frozen=True)
class ObservedServers:
    """The servers of a namespace as a state of the cluster describes them."""

    explainer: Explainer
    namespace: str
    _judged: dict[tuple[str, str, int, str], Judgement] = field(
        default_factory=dict, compare=False, repr=False
    )

    def place(self, call: ServerCall) -> Place | None:
        """The Service that a call went to; None if no Service selects the pods of the server.

        Of several Services the one that selects most is taken, because access rules apply to pods.
        """
        pod = self._pods.get(call.server)
        found = [each for each in self._services if pod and pod in self._registry.pods_of(each)]
        if call.port and pod:
            found = [each for each in found if _port(each, pod, call.port) is not None] or found
        if not found:
            return None
        chosen = min(found, key=lambda each: (len(each["spec"]["selector"]), each["metadata"]["name"]))
        return Place(chosen["metadata"]["name"], self._port_of(call, chosen, found))

    def judge(self, call: ServerCall) -> Judgement:
        """What the access rules do with the requests that a call stands for."""
        key = (call.caller, call.server, call.port, call.service)
        if key not in self._judged:
            self._judged[key] = self._judge(call)
        return self._judged[key]

    def _judge(self, call: ServerCall) -> Judgement:
        pod = self._pods.get(call.server)
        ports = (call.port,) if call.port else tuple(self._ports(call))
        answers = [self._at(pod, port, call.caller) for port in ports] if pod else []
        if len(set(answers)) > 1:
            return "depends"
        return answers[0] if answers else "allowed"

    def _at(self, pod: Object, port: int, caller: str) -> Judgement:
        inbound = self.explainer.servers.inbound(pod, port)
        if inbound is None:
            return "allowed"
        proxy = self.explainer.effective.meaning.PROXY
        namespace, _, account = caller.partition("/")
        identity = None if caller == UNKNOWN else proxy.identity(namespace, account)
        if identity is None and inbound.mode == "strict":
            return "refused"
        try:
            decision = decide(inbound, Request("", port), Sender(identity))
        except NotKnown:
            return "depends"
        if any(match != Match() for match in operations(inbound)):
            return "depends"
        return "allowed" if decision.allowed else "refused"

    def _ports(self, call: ServerCall) -> Iterator[int]:
        """The container ports that a call may have gone to."""
        pod = self._pods.get(call.server)
        place = self.place(call)
        for service in self._services if pod and place else ():
            if place and service["metadata"]["name"] == place.service:
                for port in service["spec"].get("ports") or ():
                    number = target_port(pod or {}, port)
                    if number and place.port in (None, port["port"]):
                        yield number

    def _port_of(self, call: ServerCall, chosen: Object, found: list[Object]) -> int | None:
        pod = self._pods[call.server]
        if call.port:
            return _port(chosen, pod, call.port)
        asked = next((each for each in found if each["metadata"]["name"] == call.service), chosen)
        ports = list(asked["spec"].get("ports") or ())
        number = target_port(pod, ports[0]) if len(ports) == 1 else None
        return _port(chosen, pod, number) if number else None

    @cached_property
    def _pods(self) -> Mapping[str, Object]:
        pods = self._registry.of("pods", self.namespace)
        return {workload(pod): pod for pod in pods if is_live(pod)}

    @cached_property
    def _services(self) -> list[Object]:
        services = self._registry.of("services", self.namespace)
        return [each for each in services if each["spec"].get("selector")]

    @property
    def _registry(self) -> Registry:
        return self.explainer.effective.registry


def enforced(explainer: Explainer, row: Mesh) -> Explainer:
    """The state of a cluster in which every access rule that is on trial is enforced."""
    shadow = row.shadow
    if shadow is None:
        return explainer
    return with_objects(explainer, row, map(shadow.enforced, on_trial(explainer, row)))


def on_trial(explainer: Explainer, row: Mesh, namespace: str | None = None) -> list[Object]:
    """The objects that carry access rules on trial, in one namespace or in all."""
    shadow = row.shadow
    if shadow is None:
        return []
    found = explainer.effective.snapshot.of(shadow.kind.kind, namespace)
    return [each for each in found if group_of(each) == shadow.kind.group and shadow.is_on(each)]


def _port(service: Object, pod: Object, number: int) -> int | None:
    """The port of a Service that leads to a container port; None if none does."""
    ports = service["spec"].get("ports") or ()
    return next((int(port["port"]) for port in ports if target_port(pod, port) == number), None)
