"""``mk.check``: is the mesh well, or can it be installed? Reads, changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from meshkit.checks.health import findings
from meshkit.cluster import snapshot
from meshkit.cluster.analysis import analysis
from meshkit.cluster.connect import Cluster
from meshkit.errors import Unhealthy, WarningsFound
from meshkit.facts import ClusterRef, Finding, Need, Snapshot
from meshkit.meshes import registry
from meshkit.meshes.view import NEEDED, NEEDED_AT_HOME, View
from meshkit.operations.rights import missing_rights
from meshkit.operations.which_mesh import mesh_of


class Findings(tuple[Finding, ...]):
    """Findings of a cluster, the worst first, that read as a table."""

    cluster: ClusterRef | None

    def __new__(cls, found: Iterable[Finding] = (), cluster: ClusterRef | None = None) -> Findings:
        """Findings, and the cluster that they are of: None where they are of several, or of none."""
        self = super().__new__(cls, found)
        self.cluster = cluster
        return self

    @property
    def errors(self) -> int:
        """How many are errors."""
        return sum(one.severity == "error" for one in self)

    @property
    def warnings(self) -> int:
        """How many are warnings."""
        return sum(one.severity == "warning" for one in self)

    def require(self, *, strict: bool = False) -> None:
        """Raise ``Unhealthy`` for errors, and under ``strict`` ``WarningsFound`` for warnings alone."""
        counts = f"{self.errors} errors and {self.warnings} warnings were found."
        if self.errors:
            raise Unhealthy(counts, remedy=f"First: {self[0].object}: {self[0].message} {self[0].remedy}")
        if strict and self.warnings:
            raise WarningsFound(counts, remedy=f"First: {self[0].object}: {self[0].message} {self[0].remedy}")

    def __str__(self) -> str:
        if not self:
            return f"Nothing was found{self._where}."
        lines = []
        for one in self:
            lines += [f"{one.severity:7}  {one.code:7}  {one.object}", f"{'':18}{one.message} {one.remedy}"]
        return "\n".join([*lines, self.total])

    __repr__ = __str__

    @property
    def _where(self) -> str:
        return f" on cluster {self.cluster}" if self.cluster else ""

    @property
    def total(self) -> str:
        """How many errors and warnings, and where."""
        return f"{self.errors} errors, {self.warnings} warnings{self._where}."


def check(cluster: Cluster, *, mesh: str | None = None, pre: bool = False) -> Findings:
    """What is wrong with the mesh, or should be known; with ``pre`` what stands against installing it.

    Reads the cluster once. Where the mesh's own program (istioctl, linkerd) is on PATH, what it finds is
    added. Raises ``ClusterError`` where the cluster cannot be read, and ``BadInput`` where ``mesh`` is not
    given and the cluster has none, or several.
    """
    mesh = mesh_of(cluster, mesh)
    analyzer = registry.mesh(mesh).analyzer
    now = dt.datetime.now(dt.UTC)
    seen = snapshot.read(cluster, [Need(kind) for kind in (*NEEDED, *registry.mesh(mesh).checks.kinds)])
    home = View(seen, mesh, now).home
    inside = snapshot.read(cluster, [Need(kind, home) for kind in NEEDED_AT_HOME])
    view = View(Snapshot((*seen.objects, *inside.objects)), mesh, now)
    found: Iterable[Finding] = findings(view, pre=pre)
    rights = missing_rights(cluster, mesh, home) if pre else ()
    own = analysis(cluster, analyzer.program, analyzer.arguments(pre), analyzer.findings) if analyzer else ()
    return Findings((*found, *rights, *own), cluster.ref)
