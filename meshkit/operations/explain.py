"""``mk.explain`` tells the way of a request: which rule decides, where it goes, and who lets it in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from meshkit.checks.planned import schema
from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Kind, Need, Object
from meshkit.kube.documents import read_objects
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import group_of
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.expected import expected
from meshkit.meshes.explain.explainer import Explainer, Group
from meshkit.meshes.explain.ways import Way, together
from meshkit.meshes.model.requests import Request
from meshkit.operations.which_mesh import home_of, mesh_of

_CONFIG_MAP = Kind("v1", "ConfigMap")
_NO_CALLERS = "no workload that could call it was found."
_EXAMPLE = "Write it as web.shop:8080/path or http://web.shop:8080/path."


@dataclass(frozen=True)
class Explanation:
    """The ways of the requests that were asked about: one trace, or a table with a row for each rule.

    ``not_read`` lists what this account may not read; the ways hold for what was read.
    """

    request: str
    mesh: str
    ways: tuple[Way, ...]
    not_read: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """The error answers on these ways, each once."""
        return tuple(dict.fromkeys(one for way in self.ways for one in way.failures))

    def as_record(self) -> dict[str, Any]:
        """The explanation as a JSON-ready mapping."""
        return {
            "request": self.request,
            "mesh": self.mesh,
            "failures": list(self.failures),
            "not_read": list(self.not_read),
            "ways": [way.as_record() for way in self.ways],
        }

    def __str__(self) -> str:
        nobody = "no caller of it was read." if self.not_read else _NO_CALLERS
        lines = [str(way) for way in self.ways] or [f"{self.request}: {nobody}"]
        lines += [f"not read: {each}" for each in self.not_read]
        if self.failures:
            lines.append(f"Failures: {'; '.join(self.failures)}.")
        return "\n".join(lines)

    __repr__ = __str__


def explain(
    request: str,
    cluster: Cluster | None = None,
    *,
    caller: str = "",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    files: Iterable[str | Path] = (),
    mesh: str | None = None,
) -> Explanation:
    """Explain the way of a request through the mesh, from a cluster or from YAML files alone.

    ``request`` is ``web.shop:8080/path``. Without a path, each rule of the host is explained. ``caller`` is a
    workload as ``namespace/name``; without it, all callers are explained, equal ones together. Nothing is
    changed and no request is sent. Raises ``BadInput`` for a request or file that cannot be read.
    """
    asked, has_path = request_of(request, method, headers or {})
    paths = tuple(files)
    if (cluster is None) == (not paths):
        raise BadInput("files", "either a cluster or files are needed.", remedy="Give one of the two.")
    if cluster is None:
        return _explained(request, asked, has_path, caller, explainer_of_files(paths, mesh))
    spaces = _namespaces(asked.host, caller)
    row = registry.mesh(mesh_of(cluster, mesh, spaces))
    explainer, not_read = explainer_of(cluster, row, spaces)
    return _explained(request, asked, has_path, caller, explainer, not_read)


def explainer_of(
    cluster: Cluster, row: Mesh, namespaces: Iterable[str] = (), more: Iterable[Kind] = ()
) -> tuple[Explainer, tuple[str, ...]]:
    """Read a cluster for explanations; also return what this account may not read.

    ``namespaces`` are read by themselves where the whole cluster may not be read. The kinds ``more`` are
    read, too.
    """
    home = home_of(cluster, row)
    kinds = (*row.meaning.KINDS.values(), *row.not_evaluated, *more)
    within = tuple(dict.fromkeys((*namespaces, home)))
    wanted = {kind: home if kind == _CONFIG_MAP else None for kind in kinds}
    needs = [Need(kind, where, within=within, optional=True) for kind, where in wanted.items()]
    seen = snapshot.read(cluster, needs)
    return Explainer(Effective(seen, row.name, row.meaning, home), row.not_evaluated), seen.unread


def explainer_of_files(paths: Iterable[str | Path], mesh: str | None) -> Explainer:
    """Read YAML files for explanations, with the pods that their workloads would have.

    Raises ``BadInput`` for an object that does not match its definition.
    """
    objects = read_objects(paths)
    row = mesh_of_objects(objects, mesh)
    require_valid(objects, row)
    seen = expected(objects, row)
    effective = Effective(seen, row.name, row.meaning, row.control_plane.home)
    return Explainer(effective, row.not_evaluated, addresses_known=False)


def mesh_of_objects(objects: Iterable[Object], mesh: str | None) -> Mesh:
    """The mesh of that name, else the only one whose kinds or injection the objects use."""
    if mesh is not None:
        return registry.mesh(mesh)
    listed = tuple(objects)
    found = [row for row in registry.MESHES.values() if any(_uses(item, row) for item in listed)]
    if len(found) == 1:
        return found[0]
    names = " and ".join(row.name for row in found)
    problem = f"the files use {names}." if found else "none is named, and the files do not tell which one."
    raise BadInput("mesh", problem, remedy="Name one with mesh= or --mesh.")


def require_valid(objects: Iterable[Object], row: Mesh) -> None:
    """Raise ``BadInput`` for a Service without port numbers, or a mesh's object against its definition."""
    definitions = {(crd["spec"]["group"], crd["spec"]["names"]["kind"]): crd for crd in row.crds()}
    for item in objects:
        group = group_of(item)
        definition = definitions.get((group, item["kind"]))
        errors = schema.problems(item, definition) if definition else ()
        if (str(item["apiVersion"]), item["kind"]) == SERVICE:
            errors = tuple(_port_problems(item))
        if errors:
            named = f"{item['kind']} {item['metadata']['name']}"
            raise BadInput(named, f"{'; '.join(errors)}.", remedy="Correct the object.")


def request_of(text: str, method: str, headers: Mapping[str, str]) -> tuple[Request, bool]:
    """A request from its text, and whether the text names a path. Raises ``BadInput``."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise BadInput("request", f"{text!r}: {error}.", remedy=_EXAMPLE) from error
    if parts.scheme != "http":
        problem = f"{text!r}: of {parts.scheme} proxies see no path and no header; only http is explained."
        raise BadInput("request", problem, remedy=_EXAMPLE)
    if port == 0:
        raise BadInput("request", f"{text!r}: 0 is no port.", remedy=_EXAMPLE)
    if not parts.hostname or any(each.isspace() for each in text):
        raise BadInput("request", f"{text!r} names no host.", remedy=_EXAMPLE)
    given = tuple((name, str(value)) for name, value in headers.items())
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    has_path = bool(parts.path or parts.query)
    return Request(parts.hostname, port, method.upper(), parts.path or "/", query, given), has_path


def _explained(
    text: str,
    request: Request,
    has_path: bool,
    caller: str,
    explainer: Explainer,
    not_read: tuple[str, ...] = (),
) -> Explanation:
    groups = _chosen(explainer.groups, caller)
    try:
        if has_path:
            ways = together(explainer.way(group, request) for group in groups)
        else:
            ways = explainer.ways_to(request.host, request.port, groups)
    except ValueError as error:
        title = explainer.effective.meaning.PROXY.mesh
        problem = f"an object of {title} cannot be read: {error}."
        raise BadInput("objects", problem, remedy="Correct the object.") from error
    return Explanation(text, explainer.effective.mesh, ways, not_read)


def _chosen(groups: tuple[Group, ...], caller: str) -> tuple[Group, ...]:
    if not caller:
        return groups
    found = tuple(each for each in groups if caller in (each.name, _pod_name(each)))
    if not found:
        raise UnknownName("caller", caller, [each.name for each in groups])
    return found


def _pod_name(group: Group) -> str:
    meta = group.pod["metadata"]
    return f"{meta['namespace']}/{meta['name']}"


def _namespaces(host: str, caller: str) -> list[str]:
    """The namespaces of the caller and, by its name, of the host."""
    own, _, name = caller.partition("/")
    return [*([own] if name else []), *host.split(".")[1:2]]


def _port_problems(service: Object) -> Iterator[str]:
    for index, each in enumerate((service.get("spec") or {}).get("ports") or ()):
        if not isinstance(each, Mapping) or not isinstance(each.get("port"), int):
            yield f"spec.ports[{index}].port: is not an integer"


def _uses(item: Object, row: Mesh) -> bool:
    group = group_of(item)
    if group.endswith(row.removal.group):
        return True
    template = ((item.get("spec") or {}).get("template") or {}) if item["kind"] != "Pod" else item
    if item["kind"] == "Namespace":
        return bool(row.injection.asked(item) or row.injection.sidecarless({}, item))
    return (
        bool(row.injection.sidecarless(template, {}))
        or row.injection.asks(template)
        or row.injection.runs_sidecar(template)
    )
