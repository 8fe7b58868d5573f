"""The Kubernetes objects that a translation reads, indexed by kind and namespace."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from meshkit.facts import Kind
from meshkit.kube.selectors import selects
from meshkit.meshes.model.outbound import Object

Computed = TypeVar("Computed")


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
    _once: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def reading(cls, objects: Iterable[Object], kinds: Mapping[str, Kind], root_namespace: str) -> Registry:
        """Index objects as an API server returns them. ``kinds`` maps the names of resources to kinds.

        ConfigMaps count in the root namespace only.
        """
        resources = {(kind.group, kind.kind): resource for resource, kind in kinds.items()}
        found: dict[str, list[Object]] = {resource: [] for resource in kinds}
        for item in objects:
            group = str(item.get("apiVersion", "")).rpartition("/")[0]
            resource = resources.get((group, str(item.get("kind", ""))))
            if resource == "configmaps" and item["metadata"].get("namespace") != root_namespace:
                continue
            if resource is not None:
                found[resource].append(item)
        return cls(found, root_namespace)

    def of(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of one resource, of one namespace or of all, by age, then name, then namespace."""
        if (resource, namespace) not in self._sorted:
            found = [
                item
                for item in self.objects.get(resource, ())
                if namespace is None or item["metadata"].get("namespace") == namespace
            ]
            self._sorted[(resource, namespace)] = sorted(found, key=age_of)
        return self._sorted[(resource, namespace)]

    def once(self, key: Hashable, compute: Callable[[], Computed]) -> Computed:
        """What ``compute`` returns, computed for these objects once. The key names the computation."""
        if key not in self._once:
            self._once[key] = compute()
        found: Computed = self._once[key]
        return found

    def find(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object by its name, or None."""

        def index() -> Mapping[str, Object]:
            return {item["metadata"]["name"]: item for item in self.of(resource, namespace)}

        return self.once(("find", resource, namespace), index).get(name)

    def pods_of(self, service: Object) -> list[Object]:
        """The pods a Service selects, ready or not."""
        selector = service["spec"].get("selector")
        if not selector:
            return []
        pods = self.of("pods", service["metadata"]["namespace"])
        return [pod for pod in pods if selects(selector, pod)]

    def backings(self, service: Object, port: Mapping[str, Any]) -> tuple[Backing, ...]:
        """The ready, not terminating addresses of one Service port, from its EndpointSlices.

        A pod that is being deleted is left out at once, before its slice is updated.
        """
        meta = service["metadata"]
        pods = {pod["metadata"]["name"]: pod for pod in self.of("pods", meta["namespace"])}
        found: dict[tuple[str, int], Backing] = {}
        for piece in self.of("endpointslices", meta["namespace"]):
            if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != meta["name"]:
                continue
            numbers = [
                int(p["port"])
                for p in piece.get("ports") or ()
                if (p.get("name") or "") == port.get("name", "")
            ]
            for endpoint in piece.get("endpoints") or ():
                pod = pods.get((endpoint.get("targetRef") or {}).get("name", ""))
                if not _serves(endpoint, pod):
                    continue
                for number in numbers:
                    for address in endpoint["addresses"]:
                        found[(address, number)] = Backing(address, number, pod)
        return tuple(found[key] for key in sorted(found))


def _serves(endpoint: Object, pod: Object | None) -> bool:
    conditions = endpoint.get("conditions") or {}
    if conditions.get("ready") is False or conditions.get("terminating"):
        return False
    return pod is None or not pod["metadata"].get("deletionTimestamp")


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
