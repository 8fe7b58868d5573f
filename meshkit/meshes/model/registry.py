"""The Kubernetes objects that a translation reads, indexed by kind and namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from meshkit.facts import Kind
from meshkit.kube.metadata import group_of
from meshkit.kube.selectors import selects
from meshkit.meshes.model.outbound import Object

T = TypeVar("T")


@dataclass(frozen=True)
class Backing:
    """A ready address behind a Service port, and its pod."""

    address: str
    port: int
    pod: Object | None


@dataclass(frozen=True)
class Registry:
    """The Kubernetes objects that a translator reads, by resource name ("pods", "virtualservices", ...).

    ``root_namespace`` is the control plane's namespace, whose policies apply to the whole mesh.
    """

    objects: Mapping[str, Iterable[Object]]
    root_namespace: str = "istio-system"
    _sorted: dict[tuple[str, str | None], list[Object]] = field(
        default_factory=dict, compare=False, repr=False
    )
    _derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def reading(cls, objects: Iterable[Object], kinds: Mapping[str, Kind], root_namespace: str) -> Registry:
        """Index objects as an API server returns them. ``kinds`` maps the names of resources to kinds.

        ConfigMaps count in the root namespace only.
        """
        resources = {(kind.group, kind.kind): resource for resource, kind in kinds.items()}
        found: dict[str, list[Object]] = {resource: [] for resource in kinds}
        for item in objects:
            resource = resources.get((group_of(item), str(item.get("kind", ""))))
            if resource == "configmaps" and item["metadata"].get("namespace") != root_namespace:
                continue
            if resource is not None:
                found[resource].append(item)
        return cls(found, root_namespace)

    def of(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of one resource, of one namespace or of all, by age, then name, then namespace."""
        if (resource, None) not in self._sorted:
            found = sorted(self.objects.get(resource, ()), key=age_of)
            for item in found:
                where = item["metadata"].get("namespace")
                if where is not None:
                    self._sorted.setdefault((resource, where), []).append(item)
            self._sorted[(resource, None)] = found
        return self._sorted.get((resource, namespace), [])

    def derived(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` derives from the objects alone; it is computed once for each name."""
        if name not in self._derived:
            self._derived[name] = make()
        found: T = self._derived[name]
        return found

    def find(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object by its name, or None."""

        def index() -> Mapping[tuple[str, str], Object]:
            return {
                (item["metadata"]["namespace"], item["metadata"]["name"]): item for item in self.of(resource)
            }

        return self.derived(f"{resource} by name", index).get((namespace, name))

    def pods_of(self, service: Object) -> list[Object]:
        """The pods a Service selects, ready or not."""
        return self.pods_with(service["spec"].get("selector"), service["metadata"]["namespace"])

    def pods_with(self, wanted: Mapping[str, str] | None, namespace: str) -> list[Object]:
        """The pods of a namespace that have all these labels; none if no label is given."""
        if not wanted:
            return []
        index = self.derived("pods by label", self._pods_by_label)
        fewest = min((index.get((namespace, *label), []) for label in wanted.items()), key=len)
        return [pod for pod in fewest if selects(wanted, pod)]

    def _pods_by_label(self) -> dict[tuple[str, str, str], list[Object]]:
        found: dict[tuple[str, str, str], list[Object]] = {}
        for pod in self.of("pods"):
            for key, value in (pod["metadata"].get("labels") or {}).items():
                found.setdefault((pod["metadata"]["namespace"], key, value), []).append(pod)
        return found

    def _pods_by_name(self) -> dict[tuple[str, str], Object]:
        return {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in self.of("pods")}

    def _slices_by_service(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for item in self.of("endpointslices"):
            service = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
            found.setdefault((item["metadata"]["namespace"], service), []).append(item)
        return found

    def backings(self, service: Object, port: Mapping[str, Any]) -> tuple[Backing, ...]:
        """The ready, not terminating addresses of one Service port, from its EndpointSlices.

        A pod that is being deleted is left out at once, before its slice is updated.
        """
        found: dict[tuple[str, int], Backing] = {}
        for piece, address, pod in self._ready(service):
            for named in piece.get("ports") or ():
                if (named.get("name") or "") == port.get("name", ""):
                    number = int(named["port"])
                    found[(address, number)] = Backing(address, number, pod)
        return tuple(found[key] for key in sorted(found))

    def backings_at(self, service: Object, number: int) -> tuple[Backing, ...]:
        """The same addresses, at a port of the pods that no port of the Service leads to."""
        found = {
            address: Backing(address, number, pod)
            for piece, address, pod in self._ready(service)
            if piece.get("ports")
        }
        return tuple(found[address] for address in sorted(found))

    def _ready(self, service: Object) -> Iterator[tuple[Object, str, Object | None]]:
        """Each slice of a Service with each of its addresses that serves, and the pod of the address."""
        meta = service["metadata"]
        pods = self.derived("pods by name", self._pods_by_name)
        slices = self.derived("slices by service", self._slices_by_service)
        for piece in slices.get((meta["namespace"], meta["name"]), ()):
            for endpoint in piece.get("endpoints") or ():
                pod = pods.get((meta["namespace"], (endpoint.get("targetRef") or {}).get("name", "")))
                if _serves(endpoint, pod):
                    yield from ((piece, address, pod) for address in endpoint["addresses"])


def _serves(endpoint: Object, pod: Object | None) -> bool:
    conditions = endpoint.get("conditions") or {}
    if conditions.get("ready") is False or conditions.get("terminating"):
        return False
    return pod is None or not pod["metadata"].get("deletionTimestamp")


NEWEST = "9999-12-31T23:59:59Z"
"""The creationTimestamp of an object that is not created yet: it is younger than all others."""


def age_of(item: Object) -> tuple[str, str, str]:
    """Sort key for objects: oldest first, then by name and namespace."""
    meta = item["metadata"]
    return (str(meta.get("creationTimestamp") or ""), str(meta["name"]), str(meta.get("namespace") or ""))


def resource_names(kinds: Mapping[str, Kind]) -> tuple[str, ...]:
    """Return the full resource names of kinds: ``virtualservices.networking.istio.io``.

    A version other than v1 is part of the name: ``servers.v1beta3.policy.linkerd.io``.
    """
    names = []
    for resource, kind in kinds.items():
        version = kind.api_version.rpartition("/")[2]
        plural = resource.partition(".")[0]
        names.append(
            ".".join(part for part in (plural, version if version != "v1" else "", kind.group) if part)
        )
    return tuple(names)
