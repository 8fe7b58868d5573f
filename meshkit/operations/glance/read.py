"""``mk.mesh_glance`` reads a mesh once; a reader reads it again and again for a live view."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from meshkit.checks.health import findings
from meshkit.checks.partial import findings_of_some
from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, Forbidden
from meshkit.facts import Finding, Need, Snapshot
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.view import NEEDED, NEEDED_AT_HOME, View
from meshkit.observe.graph import ServiceGraph, service_graph
from meshkit.operations.explain import Explanation, explain
from meshkit.operations.glance.facts import glance_of
from meshkit.operations.glance.model import NO_SIDECAR, Connection, Glance
from meshkit.operations.which_mesh import home_of, mesh_of

OBJECTS_S = 30.0
"""A live view reads the objects of the cluster again after this time, the sidecars at each reading."""


def mesh_glance(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    namespaces: Iterable[str] = (),
    window_s: float = 2.0,
) -> Glance:
    """Read a mesh once: its workloads and calls, findings, certificates and versions. Changes nothing.

    The calls are those of ``window_s`` seconds. An account that may not read the whole cluster names the
    ``namespaces`` that it may read; for others they limit what is shown. Raises ``BadInput`` if ``mesh`` is
    not given and the cluster has none, or several.
    """
    return Reader.of(cluster, mesh=mesh, namespaces=namespaces, window_s=window_s).read()


@dataclass
class Reader:
    """Reads one mesh for a view. ``mesh`` is a name; ``read`` may be called from any one thread."""

    cluster: Cluster
    mesh: str
    namespaces: tuple[str, ...] = ()
    window_s: float = 2.0
    _objects: tuple[float, View, Effective, tuple[Finding, ...]] | None = None

    @classmethod
    def of(cls, cluster: Cluster, *, mesh: str | None, namespaces: Iterable[str], window_s: float) -> Reader:
        """A reader of the mesh that is named or found. Raises ``BadInput``."""
        within = (namespaces,) if isinstance(namespaces, str) else tuple(dict.fromkeys(namespaces))
        if not 0 < window_s <= 60:
            raise BadInput("window_s", f"{window_s:g} is not between 0 and 60.", remedy="Try 2.")
        return cls(cluster, mesh_of(cluster, mesh, within), within, window_s)

    def read(self) -> Glance:
        """The mesh as it is now; the objects are at most ``OBJECTS_S`` older than the calls."""
        _, view, effective, found = self._objects_now()
        graph, unread = self._calls()
        taken = replace(view, now=dt.datetime.now(dt.UTC))
        glance = glance_of(taken, effective, graph, found)
        not_read = (*glance.not_read, *unread)
        return replace(glance, cluster=self.cluster.ref, not_read=not_read).within(*self.namespaces)

    def explain(self, connection: Connection) -> Explanation:
        """The way of the requests of a connection. Raises ``BadInput`` where no Service is known."""
        if not connection.request:
            problem = f"no Service is known that leads to {connection.destination}."
            raise BadInput("connection", problem, remedy="Ask mk.explain about the host that is called.")
        caller = "" if connection.source == NO_SIDECAR else connection.source
        return explain(connection.request, self.cluster, caller=caller, mesh=self.mesh)

    def _calls(self) -> tuple[ServiceGraph, tuple[str, ...]]:
        """The calls; none, and why, if this account may not list pods or read their pages."""
        try:
            return service_graph(self.cluster, window_s=self.window_s), ()
        except Forbidden as error:
            return ServiceGraph(0.0, ()), (f"calls between workloads ({error.message.removesuffix('.')})",)

    def _objects_now(self) -> tuple[float, View, Effective, tuple[Finding, ...]]:
        now_s = time.monotonic()
        if self._objects is None or now_s - self._objects[0] > OBJECTS_S:
            view, effective = _read(self.cluster, self.mesh, self.namespaces)
            partial = bool(view.snapshot.unread)
            found = findings_of_some(view, self.namespaces) if partial else findings(view)
            self._objects = (now_s, view, effective, found)
        return self._objects


def _read(cluster: Cluster, mesh: str, within: tuple[str, ...]) -> tuple[View, Effective]:
    """Read what checks and the meaning of a mesh need, once for both."""
    row = registry.mesh(mesh)
    home = home_of(cluster, row)
    kinds = dict.fromkeys((*NEEDED, *row.checks.kinds, *row.meaning.KINDS.values()))
    needs = [Need(kind, within=within, optional=bool(within)) for kind in kinds if kind != CONFIG_MAP]
    seen = snapshot.read(cluster, needs)
    own = [Need(kind, home, optional=bool(within)) for kind in NEEDED_AT_HOME]
    inside = snapshot.read(cluster, own) if not seen.unread else Snapshot()
    whole = Snapshot((*seen.objects, *inside.objects), seen.unread)
    view = View(whole, mesh, dt.datetime.now(dt.UTC))
    return view, Effective(whole, mesh, row.meaning, home)
