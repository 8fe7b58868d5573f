"""``mk.check`` examines the health of a mesh, or whether it can be installed; it changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from meshkit.checks.health import findings, findings_of_objects, in_order
from meshkit.checks.partial import findings_of_some, move_of_some
from meshkit.cluster import snapshot
from meshkit.cluster.analysis import analysis
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, Forbidden, Unhealthy, UnknownName, UnsupportedByMesh, WarningsFound
from meshkit.facts import ClusterRef, Finding, Kind, Need, Snapshot
from meshkit.kube.kinds import SERVICE
from meshkit.meshes import registry
from meshkit.meshes.base import Sidecarless
from meshkit.meshes.view import NEEDED, NEEDED_AT_HOME, View
from meshkit.operations.explain import explainer_of_files
from meshkit.operations.rights.install import missing_rights
from meshkit.operations.routes.traffic import findings_of_traffic, not_read, require_window
from meshkit.operations.which_mesh import mesh_of


class Findings(tuple[Finding, ...]):
    """Findings of a cluster, worst first, shown as a table."""

    cluster: ClusterRef | None

    def __new__(cls, findings: Iterable[Finding] = (), cluster: ClusterRef | None = None) -> Findings:
        """Create findings of ``cluster``; None if they belong to several clusters or to none."""
        self = super().__new__(cls, findings)
        self.cluster = cluster
        return self

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(finding.severity == "error" for finding in self)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return sum(finding.severity == "warning" for finding in self)

    def require(self, *, strict: bool = False) -> None:
        """Raise ``Unhealthy`` if there are errors, or with ``strict`` ``WarningsFound`` if there are only
        warnings.
        """
        counts = f"Found: {self._counts}."
        if self.errors:
            raise Unhealthy(counts, remedy=f"First: {self[0].object}: {self[0].message} {self[0].remedy}")
        if strict and self.warnings:
            raise WarningsFound(counts, remedy=f"First: {self[0].object}: {self[0].message} {self[0].remedy}")

    def __str__(self) -> str:
        if not self:
            return f"No problems were found{self._where}."
        lines = []
        for finding in self:
            lines += [
                f"{finding.severity:7}  {finding.code:7}  {finding.object}",
                f"{'':18}{finding.message} {finding.remedy}",
            ]
        return "\n".join([*lines, self.total])

    __repr__ = __str__

    @property
    def _where(self) -> str:
        return f" on cluster {self.cluster}" if self.cluster else ""

    @property
    def total(self) -> str:
        """The number of errors and warnings, and the cluster."""
        return f"{self._counts}{self._where}."

    @property
    def _counts(self) -> str:
        errors = f"{self.errors} error{'' if self.errors == 1 else 's'}"
        return f"{errors}, {self.warnings} warning{'' if self.warnings == 1 else 's'}"


def check(
    cluster: Cluster | None = None,
    *,
    mesh: str | None = None,
    pre: bool = False,
    files: Iterable[str | Path] = (),
    to_ambient: str | bool = False,
    namespaces: Iterable[str] = (),
    traffic_s: float | None = None,
) -> Findings:
    """Check the health of the mesh; with ``pre``, check whether it can be installed.

    With ``to_ambient``, find instead what stands in the way of moving a namespace to the mesh's mode without
    sidecars; True stands for every namespace with sidecars.

    With ``files`` in place of a cluster, the objects in YAML files are checked as if they were applied: their
    routes, ports, access and mutual TLS, or with ``to_ambient`` their move.

    An account that may not read the whole cluster names the ``namespaces`` that it may read. It gets what
    their objects prove by themselves, and a finding of what was not read.

    With ``traffic_s``, the requests of so many seconds are read from the sidecars, and retries, limits and
    timeouts are held against them; without, a finding says that they were not.

    The cluster is read once. If the mesh's own program (istioctl, linkerd) is on PATH, its findings are
    added. Raises ``ClusterError`` if the cluster cannot be read, and ``BadInput`` if
    ``mesh`` is not given and the cluster has none, or several.
    """
    paths = tuple(files)
    if (cluster is None) == (not paths):
        raise BadInput("files", "either a cluster or files are needed.", remedy="Give one of the two.")
    if pre and to_ambient:
        raise BadInput("to_ambient", "it is for an installed mesh.", remedy="Leave out pre, or to_ambient.")
    require_window(traffic_s)
    if traffic_s is not None and (pre or to_ambient or cluster is None):
        other = "files" if cluster is None else "pre" if pre else "to_ambient"
        problem = "it is for a running mesh with traffic."
        raise BadInput("traffic_s", problem, remedy=f"Leave out traffic_s, or {other}.")
    if cluster is None:
        if pre:
            raise BadInput("pre", "files do not tell it.", remedy="Give a cluster in place of files.")
        return _check_files(paths, mesh, to_ambient)
    within = tuple(dict.fromkeys(namespaces))
    mesh = mesh_of(cluster, mesh, within)
    if to_ambient:
        view = _view(cluster, mesh, _checks_of_move(mesh).KINDS, within)
        _require_namespaces(cluster, within, view.snapshot)
        found = _move(view, to_ambient)
        return Findings(move_of_some(view, within, found) if view.snapshot.unread else found, cluster.ref)
    analyzer = registry.mesh(mesh).analyzer
    view = _view(cluster, mesh, registry.mesh(mesh).checks.kinds, within)
    _require_namespaces(cluster, within, view.snapshot)
    if view.snapshot.unread:
        return Findings(findings_of_some(view, within), cluster.ref)
    found = findings(view, pre=pre)
    if not pre and view.components:
        seen = not_read(view) if traffic_s is None else findings_of_traffic(cluster, view, traffic_s)
        found = in_order((*found, *seen))
    rights = missing_rights(cluster, mesh, view.home) if pre else ()
    own = analysis(cluster, analyzer.program, analyzer.arguments(pre), analyzer.findings) if analyzer else ()
    return Findings((*found, *rights, *own), cluster.ref)


def _require_namespaces(cluster: Cluster, names: Iterable[str], seen: Snapshot) -> None:
    """Raise ``UnknownName`` for a namespace that does not exist, as far as namespaces may be read.

    Raises ``Forbidden`` for a namespace of which nothing could be checked.
    """
    known = [str(each["metadata"]["name"]) for each in seen.of("Namespace")]
    for name in names:
        if known and name not in known:
            raise UnknownName("namespace", name, known)
    if seen.unread:
        _require_readable(cluster, names)


def _view(cluster: Cluster, mesh: str, kinds: Iterable[Kind], within: tuple[str, ...]) -> View:
    """What checks read of a cluster, or of the namespaces ``within``: the usual kinds and ``kinds``."""
    now = dt.datetime.now(dt.UTC)
    seen = _read(cluster, [*NEEDED, *kinds], within)
    view = View(seen, mesh, now)
    if seen.unread:
        return view
    inside = snapshot.read(cluster, [Need(kind, view.home) for kind in NEEDED_AT_HOME])
    return View(Snapshot((*seen.objects, *inside.objects)), mesh, now)


def _checks_of_move(mesh: str) -> Sidecarless:
    found = registry.mesh(mesh).to_ambient
    if found is None:
        problem = f"{registry.mesh(mesh).title} has no mode without sidecars."
        raise UnsupportedByMesh(
            "to_ambient", problem, remedy="Name a mesh that has one with mesh= or --mesh."
        )
    return found


def _move(view: View, to_ambient: str | bool) -> tuple[Finding, ...]:
    """The findings of a move of one namespace, or of all that can be moved."""
    checks = _checks_of_move(view.mesh)
    if isinstance(to_ambient, str):
        if to_ambient not in view.namespaces:
            raise UnknownName("to_ambient", to_ambient, view.namespaces)
        return in_order(checks.check(view, (to_ambient,)))
    return in_order(checks.check(view, checks.movable(view)))


def _read(cluster: Cluster, kinds: Iterable[Kind], within: tuple[str, ...]) -> Snapshot:
    """Read these kinds of the whole cluster, or of the namespaces ``within`` if only these may be read."""
    try:
        return snapshot.read(cluster, [Need(kind, within=within, optional=bool(within)) for kind in kinds])
    except Forbidden as error:
        remedy = "Name the namespaces that you may read with namespaces= or -n, or ask for the right."
        raise Forbidden(error.message, remedy=remedy) from error


def _require_readable(cluster: Cluster, namespaces: Iterable[str]) -> None:
    """Raise ``Forbidden`` for a namespace of which nothing could be checked."""
    for namespace in namespaces:
        try:
            cluster.api.list(SERVICE, namespace)
        except Forbidden as error:
            problem = f"This account may not read namespace {namespace}: {error.message}"
            remedy = "Name only namespaces that you may read, or ask for the right."
            raise Forbidden(problem, remedy=remedy) from error


def _check_files(paths: Iterable[str | Path], mesh: str | None, to_ambient: str | bool) -> Findings:
    explainer = explainer_of_files(paths, mesh)
    view = View(explainer.effective.snapshot, explainer.effective.mesh, dt.datetime.now(dt.UTC))
    return Findings(_move(view, to_ambient) if to_ambient else findings_of_objects(view))
