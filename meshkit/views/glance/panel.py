"""``mk.mesh_view``: the mesh at a glance in a notebook cell, live.

The first reading is made before the cell ends, so that a notebook without a kernel shows it. From then on a
task on the notebook's event loop reads again every few seconds; requests are made in threads, one reading at
a time. A click on a call explains it, a click on a workload shows its findings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from markupsafe import Markup

from meshkit.errors import BadInput
from meshkit.operations.glance.model import Glance
from meshkit.operations.glance.read import Reader
from meshkit.views.glance import glance_html
from meshkit.views.glance.graph_scene import graph_scene, workload_lines
from meshkit.views.glance.picture import picture
from meshkit.views.glance.plotly_scene import figure
from meshkit.views.glance.svg import svg
from meshkit.views.live_box import LiveBox, alert, hint, set_html
from meshkit.views.report import STYLE

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

LEAST_S, MOST_S = 2.0, 600.0
"""The bounds of the time between two readings."""
_ALL_SPACES, _ALL_WORKLOADS = "all namespaces", "all workloads"
_HINT = "Click a call to explain it, or a workload to see its findings."


class MeshView(LiveBox):
    """The live view of one mesh. A new view of the same mesh closes the older one."""

    def __init__(self, reader: Reader, interval_s: float, first: Glance) -> None:
        self._reader, self._interval_s, self._glance = reader, interval_s, first
        self._build()
        super().__init__(self._children())
        self.add_class("mk").add_class("mk-glance")
        self._join_loop()
        self._replace_older(reader.cluster.server, reader.mesh)
        self._show()
        if self._loop:
            self._spawn(self._read_for_ever())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and for readers without a kernel its last state as picture, HTML and text."""
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        return bundle | {
            "text/plain": str(self._glance),
            "text/html": glance_html.page(self._glance),
            "image/svg+xml": picture(self._glance),
        }

    # The widgets

    def _build(self) -> None:
        self._head, self._figures, self._problem = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._told = widgets.HTML(hint(_HINT)).add_class("mk-glance-told")
        self._findings, self._certificates = widgets.HTML(), widgets.HTML()
        self._connections = widgets.HTML()
        self._space = widgets.Dropdown(options=[_ALL_SPACES], description="Namespace")
        self._near = widgets.Dropdown(options=[_ALL_WORKLOADS], description="Calls of")
        self._pause = widgets.ToggleButton(description="Pause", icon="pause").add_class("mk-button")
        for widget in (self._space, self._near):
            widget.observe(lambda _: self._soon(self._redraw()), "value")
        self._pause.observe(lambda _: self._soon(self._redraw()), "value")
        self._graph = _graph(self._glance, self._clicked)

    def _children(self) -> tuple[widgets.Widget, ...]:
        bar = widgets.HBox([self._space, self._near, self._pause]).add_class("mk-glance-bar")
        graph = widgets.VBox([self._graph]).add_class("mk-graph")
        card = widgets.VBox([widgets.HTML(glance_html.legend()), graph]).add_class("mk-card")
        body = widgets.HBox([self._findings, self._certificates]).add_class("mk-glance-body")
        style = widgets.HTML(STYLE, layout={"display": "none"})
        top = (style, self._head, self._figures, bar, self._problem)
        return (*top, card, self._told, body, self._connections)

    # What a person does

    def _clicked(self, means: Any) -> None:
        self._soon(self._tell(means if isinstance(means, Mapping) else {}))

    async def _tell(self, means: Mapping[str, Any]) -> None:
        """Explain a call, or show what is known of a workload."""
        ends = means.get("source"), means.get("destination")
        call = next((c for c in self._glance.connections if (c.source, c.destination) == ends), None)
        workload = next((w for w in self._glance.workloads if w.name == means.get("workload")), None)
        if workload is not None:
            self._told.value = told(workload.name, "\n".join(workload_lines(workload)))
        if call is None:
            return
        title = f"{call.source} → {call.destination}"
        self._told.value = hint(f"{title}: reading its route…")
        try:
            found = await asyncio.to_thread(self._reader.explain, call)
            self._told.value = told(title, str(found))
        except Exception as problem:
            self._told.value = alert(f"{title}: {problem}")

    async def _redraw(self) -> None:
        self._show()

    # What is seen

    async def _read_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            if not self._pause.value:
                await self._read_once()

    async def _read_once(self) -> None:
        try:
            self._glance = await asyncio.to_thread(self._reader.read)
            set_html(self._problem, Markup(""))
            self._show()
        except Exception as problem:
            since = f"the last values are those of {self._glance.taken:%H:%M:%S} UTC"
            set_html(self._problem, alert(f"The mesh cannot be read; {since}: {problem}"))

    def _show(self) -> None:
        whole = self._glance
        self._offer(whole)
        space, near = self._space.value, self._near.value
        shown = whole if space == _ALL_SPACES else whole.within(space)
        drawn = shown if near == _ALL_WORKLOADS else shown.around(near)
        pace = "paused" if self._pause.value else f"every {self._interval_s:g} s"
        note = f"updated {whole.taken:%H:%M:%S} UTC, {pace}"
        set_html(self._head, glance_html.head(shown, note))
        set_html(self._figures, glance_html.figure_row(shown))
        set_html(self._findings, glance_html.findings(shown.findings))
        set_html(self._certificates, glance_html.certificates(shown))
        set_html(self._connections, glance_html.connections(drawn))
        self._graph.show(_drawn(drawn, self._graph))

    def _offer(self, whole: Glance) -> None:
        """Offer the namespaces and workloads of the last reading; what is chosen stays chosen."""
        spaces = sorted({each.namespace for each in whole.workloads if each.namespace})
        names = sorted(each.name for each in whole.workloads)
        for box, first, found in (
            (self._space, _ALL_SPACES, spaces),
            (self._near, _ALL_WORKLOADS, names),
        ):
            options = (first, *sorted({*found, box.value} - {first, None}))
            if tuple(box.options) != options:
                chosen = box.value
                with box.hold_trait_notifications():
                    box.options = options
                    box.value = chosen


def mesh_view(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    namespaces: Iterable[str] = (),
    interval_s: float = 5.0,
    window_s: float = 2.0,
) -> MeshView:
    """Show a mesh at a glance, live. Make it the last expression of a notebook cell.

    It shows who calls whom with requests, failures, p99 and lock; findings and their remedies; shares asked
    and measured; certificates and versions. The calls are those of ``window_s`` seconds, read again
    ``interval_s`` seconds after the last reading. ``namespaces`` limit what is shown. Changes nothing.
    Raises ``BadInput`` if ``mesh`` is not given and the cluster has none, or several.
    """
    if not LEAST_S <= interval_s <= MOST_S:
        problem = f"{interval_s:g} is not between {LEAST_S:g} and {MOST_S:g}."
        raise BadInput("interval_s", problem, remedy="Try 5.")
    reader = Reader.of(cluster, mesh=mesh, namespaces=namespaces, window_s=window_s)
    return MeshView(reader, interval_s, reader.read())


class SvgGraph(widgets.HTML):  # type: ignore[misc]
    """The graph without anywidget: the same picture, without clicks."""

    def show(self, picture_: Markup) -> None:
        """Show a picture."""
        set_html(self, picture_)


def _graph(glance: Glance, on_click: Any) -> Any:
    with contextlib.suppress(ImportError):
        from meshkit.views.charts.live_chart import LiveChart

        return LiveChart(figure(graph_scene(glance)), on_click)
    return SvgGraph()


def _drawn(glance: Glance, graph: Any) -> Any:
    scene = graph_scene(glance)
    return svg(scene) if isinstance(graph, SvgGraph) else figure(scene)


def told(title: str, text: str) -> Markup:
    """What is known of the thing that was clicked."""
    return Markup('<div role="status"><h2>{}</h2><pre>{}</pre></div>').format(title, text)
