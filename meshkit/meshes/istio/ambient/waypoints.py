"""Which waypoint serves a Service or a pod, by the labels that istiod reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import group_of, labels
from meshkit.kube.selectors import holds

GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway")
GATEWAY_CLASS = Kind("gateway.networking.k8s.io/v1", "GatewayClass")
CLASS = "istio-waypoint"
"""The GatewayClass of waypoints."""
USE = "istio.io/use-waypoint"
USE_NAMESPACE = "istio.io/use-waypoint-namespace"
FOR = "istio.io/waypoint-for"
"""The label of a waypoint that says whose requests it takes: ``service`` (the default), ``workload``, ``all``
or ``none``."""
_CONTROLLER = "istio.io/mesh-controller"
_NOWHERE = "none"


class Served(NamedTuple):
    """The waypoint that the labels of an object or its namespace name; empty if they name none.

    ``problem`` says why that waypoint does not take its requests; empty if it does.
    """

    waypoint: str = ""
    problem: str = ""

    @property
    def works(self) -> bool:
        """Whether a waypoint takes the requests."""
        return bool(self.waypoint) and not self.problem


@dataclass(frozen=True)
class Waypoints:
    """The waypoints of a cluster, and the namespaces whose labels name them."""

    gateways: Mapping[tuple[str, str], Object]
    classes: Mapping[str, Object]
    namespaces: Mapping[str, Object]

    @classmethod
    def of(cls, objects: Iterable[Object]) -> Waypoints:
        """The waypoints among these objects."""
        listed = [item for item in objects if item["kind"] in ("Gateway", "GatewayClass", "Namespace")]
        own = [item for item in listed if group_of(item) == GATEWAY.group]
        classes = _named(own, GATEWAY_CLASS.kind)
        waypoints = {
            (str(item["metadata"].get("namespace") or "default"), item["metadata"]["name"]): item
            for item in own
            if item["kind"] == GATEWAY.kind and _is_waypoint(item, classes)
        }
        return cls(waypoints, classes, _named(listed, "Namespace"))

    def of_service(self, service: Object) -> Served:
        """The waypoint that takes the requests to a Service."""
        return self._served(service, "service")

    def of_pod(self, pod: Object) -> Served:
        """The waypoint that takes the requests to the address of a pod.

        A namespace's waypoint for Services only is none for its pods, and no problem of them.
        """
        served = self._served(pod, "workload")
        inherited = USE not in labels(pod)
        return Served() if served.problem and inherited else served

    def _served(self, item: Object, traffic: str) -> Served:
        namespace = str(item["metadata"].get("namespace") or "default")
        for holder in (item, self.namespaces.get(namespace) or {}):
            name = labels(holder).get(USE)
            if name == _NOWHERE:
                return Served()
            if name:
                place = (labels(holder).get(USE_NAMESPACE) or namespace, name)
                return Served("/".join(place), self._problem(place, namespace, traffic))
        return Served()

    def _problem(self, place: tuple[str, str], caller: str, traffic: str) -> str:
        waypoint = self.gateways.get(place)
        if waypoint is None:
            return f"there is no Gateway {'/'.join(place)} of class {CLASS}"
        if waypoint["metadata"].get("uid") and not (waypoint.get("status") or {}).get("addresses"):
            return f"Gateway {'/'.join(place)} has no address, so no pod of it is ready"
        if not self._admits(waypoint, place[0], caller):
            return f"Gateway {'/'.join(place)} does not admit namespace {caller}"
        takes = self._takes(waypoint)
        if takes not in (traffic, "all"):
            return f"Gateway {'/'.join(place)} is for {takes} requests ({FOR}), not for {traffic} requests"
        return ""

    def _takes(self, waypoint: Object) -> str:
        of_class = self.classes.get(str(waypoint["spec"].get("gatewayClassName"))) or {}
        return labels(waypoint).get(FOR) or labels(of_class).get(FOR) or "service"

    def _admits(self, waypoint: Object, home: str, caller: str) -> bool:
        if home == caller:
            return True
        listeners: Sequence[Object] = waypoint["spec"].get("listeners") or ()
        asked = [((each.get("allowedRoutes") or {}).get("namespaces") or {}) for each in listeners]
        carried = {"kubernetes.io/metadata.name": caller, **labels(self.namespaces.get(caller) or {})}
        return any(
            each.get("from") == "All" or (each.get("from") == "Selector" and holds(each["selector"], carried))
            for each in asked
        )


def _named(items: Iterable[Object], kind: str) -> Mapping[str, Object]:
    return {item["metadata"]["name"]: item for item in items if item["kind"] == kind}


def _is_waypoint(gateway: Object, classes: Mapping[str, Object]) -> bool:
    name = str((gateway.get("spec") or {}).get("gatewayClassName") or "")
    of_class = (classes.get(name) or {}).get("spec") or {}
    return name == CLASS or of_class.get("controllerName") == _CONTROLLER
