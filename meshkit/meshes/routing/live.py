"""Ask the meaning of a Snapshot which routes hold for the requests to one Service port.

The answer is computed from a small part of the Snapshot: the Service, one pod for each kind of caller, and
all routes. What routes lead to, such as subsets and endpoints, does not decide which of them hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshkit.facts import Need, Object, Snapshot
from meshkit.kube.metadata import group_of, labels, title
from meshkit.kube.selectors import selects
from meshkit.meshes.base import Mesh
from meshkit.meshes.model.hosts import full_host, host_of
from meshkit.meshes.model.outbound import Match, Route
from meshkit.meshes.model.registry import Registry

_LEADS_NOWHERE = ("Service", "EndpointSlice", "DestinationRule", "Node")
"""The kinds, beside the Service itself, that do not decide which of its routes holds."""
_ROUTES = ("VirtualService", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
_NOT_READ = ("nodes", "endpointslices", "destinationrules")
"""The resources that do not decide which route holds."""
_NAMED = 4
"""How many namespaces a message names."""
_SELECT_NO_CALLERS = ("Pod", "Service", "EndpointSlice", "Node", "Namespace")
"""The kinds that say nothing about callers by their labels."""
_WHOLE = ("namespaces", "nodes")
"""The resources without a namespace."""


class Port(NamedTuple):
    """A port of a Service, or of a host outside, whose name has a dot."""

    namespace: str
    service: str
    number: int

    def __str__(self) -> str:
        host = self.service if "." in self.service else f"{self.service}.{self.namespace}"
        return f"{host}:{self.number}"


@dataclass(frozen=True)
class Held:
    """The routes of a Service port, in order of precedence, for callers in ``namespaces`` that share them."""

    namespaces: tuple[str, ...]
    routes: tuple[Route, ...]


def needs(row: Mesh, namespace: str, home: str) -> Iterator[Need]:
    """What ``held`` reads: of the whole cluster, or of the namespace where only that may be read.

    ``home`` is the control plane's namespace.
    """
    for resource, kind in row.meaning.KINDS.items():
        if resource == "configmaps":
            yield Need(kind, home, optional=True)
        elif resource in _WHOLE:
            yield Need(kind, optional=True)
        elif resource not in _NOT_READ:
            yield Need(kind, within=(namespace,), optional=True)


def held(port: Port, snapshot: Snapshot, row: Mesh) -> tuple[Held, ...]:
    """The routes of a Service port for every caller; for one in its own namespace where no pod has a proxy.

    Empty without the Service.
    """
    service = snapshot.find("Service", port.service, port.namespace)
    if service is None or not row.meaning.KINDS:
        return ()
    pods = callers(port, snapshot, row)
    registry = Registry.reading(relevant(service, snapshot, pods), row.meaning.KINDS, home_of(snapshot, row))
    found: dict[tuple[Route, ...], dict[str, None]] = {}
    for caller, namespaces in _by_caller(registry, pods, row).items():
        for host in row.meaning.outbound(registry, caller).hosts:
            if (host.service, host.port) == (host_of(service), port.number):
                found.setdefault(host.routes, {}).update(dict.fromkeys(namespaces))
    return tuple(Held(tuple(namespaces), routes) for routes, namespaces in found.items())


def owners(held_routes: Sequence[Held], row: Mesh, snapshot: Snapshot) -> tuple[Object, ...]:
    """The objects that the routes stand in, each once, in order of precedence."""
    rulers = dict.fromkeys(route.ruler for each in held_routes for route in each.routes if route.ruler)
    return tuple(obj for ruler in rulers for obj in objects_named(ruler, row, snapshot) if is_route(obj))


def is_route(obj: Object) -> bool:
    """Whether an object is a route, rather than a ServiceProfile, which proxies follow instead of routes."""
    return obj["kind"] in _ROUTES


def objects_named(ruler: str, row: Mesh, snapshot: Snapshot) -> list[Object]:
    """The objects with this kind, namespace and name that rule requests, of every API group."""
    kind = ruler.partition(" ")[0]
    if kind not in (*_ROUTES, "ServiceProfile"):
        return []
    groups = {each.group for each in row.meaning.KINDS.values() if each.kind == kind}
    return [obj for obj in snapshot.of(kind) if group_of(obj) in groups and title(obj) == ruler]


def callers_in(namespaces: Iterable[str]) -> str:
    """Callers by their namespaces, for a message: ``callers in shop, tests and 3 more namespaces``."""
    names = sorted(set(namespaces))
    more = len(names) - _NAMED
    return f"callers in {', '.join(names[:_NAMED])}" + (f" and {more} more namespaces" if more > 0 else "")


def every(match: Match) -> bool:
    """Whether a match holds for every request."""
    path = match.path
    anything = path is None or (path.kind, path.value) in (
        ("prefix", "/"),
        ("segments", "/"),
        ("regex", ".*"),
    )
    return anything and not match.method and not match.headers and not match.query


def callers(port: Port, snapshot: Snapshot, row: Mesh) -> list[Object]:
    """One pod for each kind of caller of a Service port, and one in its own namespace."""
    mentioned = snapshot.remembered("mentioned", (), lambda seen: _mentioned(seen.objects))
    more = _mentioned(snapshot.written_objects)
    carried = snapshot.remembered("label keys", ("Pod",), _label_keys)
    keys = frozenset(key for key in carried if "/" in key or key in mentioned or key in more)
    kinds = snapshot.remembered(
        ("callers", row.name, keys), ("Pod",), lambda seen: list(_callers(seen, row, keys))
    )
    return [*kinds, _pod(port.namespace)]


def _label_keys(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(key for pod in snapshot.of("Pod") for key in labels(pod))


def _callers(snapshot: Snapshot, row: Mesh, keys: Collection[str]) -> Iterator[Object]:
    """One pod for each namespace and set of labels with these keys that pods with a proxy have."""
    seen = set()
    home = home_of(snapshot, row)
    for pod in row.injection.proxies(snapshot.of("Pod")):
        carried = sorted(each for each in labels(pod).items() if each[0] in keys)
        key = (pod["metadata"]["namespace"], tuple(carried))
        if key not in seen and key[0] != home:
            seen.add(key)
            yield _pod(key[0], **dict(key[1]))


def _mentioned(objects: Iterable[Object]) -> frozenset[str]:
    """All words of objects that can select callers: a label that is none of them decides nothing."""
    found: set[str] = set()
    for obj in objects:
        if obj["kind"] not in _SELECT_NO_CALLERS:
            _collect(obj.get("spec"), found)
    return frozenset(found)


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found.add(str(key))
            _collect(inner, found)
    elif isinstance(value, list | tuple):
        for inner in value:
            _collect(inner, found)
    elif isinstance(value, str):
        found.add(value)


def home_of(snapshot: Snapshot, row: Mesh) -> str:
    """The namespace of the control plane's pods, the usual one if none is seen."""

    def found(seen: Snapshot) -> str:
        pods = filter(row.control_plane.is_component, seen.of("Pod"))
        return next((str(pod["metadata"]["namespace"]) for pod in pods), row.control_plane.home)

    return snapshot.remembered(("home", row.name), ("Pod",), found)


def _pod(namespace: str, **carried: str) -> Object:
    meta = {"name": "caller", "namespace": namespace, "labels": carried}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}


def _by_caller(registry: Registry, pods: Sequence[Object], row: Mesh) -> dict[object, list[str]]:
    found: dict[object, list[str]] = {}
    for pod in pods:
        found.setdefault(row.meaning.caller_of(registry, pod), []).append(pod["metadata"]["namespace"])
    return found


def relevant(service: Object, snapshot: Snapshot, pods: Sequence[Object]) -> Iterator[Object]:
    """The objects that decide which routes of a Service hold, and the callers ``pods``."""
    selector = service["spec"].get("selector") or {}
    meta = service["metadata"]
    namespace = meta["namespace"]
    carried = [_carrying(namespace, *each) for each in list(selector.items())[:1]]
    named = (_OF_ALL, host_of(service), _parent(meta["name"]), _service(service))
    for obj in snapshot.having(_concerned, *named, *carried):
        if obj["kind"] == "Pod":
            if selector and obj["metadata"].get("namespace") == namespace and selects(selector, obj):
                yield obj
        elif obj is service or (obj["kind"] not in _LEADS_NOWHERE and _concerns(obj, service)):
            yield obj
    yield from pods


_OF_ALL = "*"
"""The key of objects that may concern every Service."""


def _concerned(obj: Object) -> Iterator[str]:
    """The keys by which ``relevant`` finds an object."""
    meta = obj["metadata"]
    namespace = str(meta.get("namespace") or "")
    if obj["kind"] == "Pod":
        yield from (_carrying(namespace, *each) for each in labels(obj).items())
    elif obj["kind"] == "Service":
        yield _service(obj)
    elif obj["kind"] not in _LEADS_NOWHERE:
        spec = obj.get("spec") or {}
        if spec.get("parentRefs"):
            yield from (_parent(str(parent.get("name"))) for parent in spec["parentRefs"])
            return
        hosts = [full_host(str(host).lower(), namespace) for host in spec.get("hosts") or ()]
        yield from (_OF_ALL if host.startswith("*") else host for host in hosts or ("*",))


def _carrying(namespace: str, key: str, value: str) -> str:
    return f"Pod {namespace} {key}={value}"


def _parent(name: str) -> str:
    return f"parent {name}"


def _service(service: Object) -> str:
    meta = service["metadata"]
    return f"Service {meta.get('namespace')}/{meta['name']}"


def _concerns(obj: Object, service: Object) -> bool:
    """Whether an object can say something about a Service, by the hosts or the parents that it names."""
    spec, meta = obj.get("spec") or {}, obj["metadata"]
    if spec.get("parentRefs"):
        return any(parent.get("name") == service["metadata"]["name"] for parent in spec["parentRefs"])
    hosts = [full_host(str(host).lower(), meta.get("namespace", "")) for host in spec.get("hosts") or ()]
    return not hosts or any(host.startswith("*") or host == host_of(service) for host in hosts)
