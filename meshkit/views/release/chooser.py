"""The releases of a cluster in a notebook cell: their list, and the panel of the one that is chosen.

The list is read again every few seconds. A release that was started elsewhere appears by itself, and choosing
it joins it: the panel shows what the cluster knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from markupsafe import Markup

from meshkit.operations.release.controls import Controls
from meshkit.operations.release.listing import HEADINGS, ReleaseSummary, releases
from meshkit.operations.release.runner import release_state
from meshkit.operations.release.watch import Watch
from meshkit.views.live_box import LiveBox, alert, set_html
from meshkit.views.release.panel import ReleasePanel
from meshkit.views.report import STYLE, table

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release

LIST_S = 3.0
"""Time between two readings of the list, in seconds."""
_NONE = "no release chosen"
_EMPTY = "The cluster has no releases."


class ReleaseChooser(LiveBox):
    """The list of releases, and below it the panel of the chosen one.

    ``ready`` are releases that can be started, beside those that the cluster knows.
    """

    def __init__(
        self, cluster: Cluster, found: Sequence[ReleaseSummary], ready: Sequence[Release] = ()
    ) -> None:
        self._cluster, self._found = cluster, found
        self._ready = {release.name: release for release in ready}
        self._list, self._problem = widgets.HTML(), widgets.HTML()
        self._choice = widgets.Dropdown(description="Release", options=[_NONE, *self._ready])
        self._slot = widgets.VBox()
        style = widgets.HTML(STYLE, layout={"display": "none"})
        super().__init__((style, self._list, self._choice, self._problem, self._slot))
        self.add_class("mk")
        self._join_loop()
        self._replace_older(cluster.server)
        self._choice.observe(self._chosen, "value")
        self._offer(found)
        if self._loop:
            self._spawn(self._read_for_ever())

    def close(self) -> None:
        """Stop reading the cluster and remove the widgets; a release goes on."""
        for panel in self._slot.children:
            panel.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and the list as HTML and text for readers without a kernel."""
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        text = "\n".join(", ".join(one.cells(time.time())) for one in self._found) or _EMPTY
        return bundle | {"text/plain": text, "text/html": listed(self._found, time.time())}

    def _chosen(self, change: Mapping[str, Any]) -> None:
        self._soon(self._show(str(change["new"])))

    async def _read_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LIST_S)
            try:
                self._offer(await asyncio.to_thread(releases, self._cluster))
            except Exception as problem:
                set_html(self._list, alert(f"The releases cannot be read: {problem}"))

    def _offer(self, found: Sequence[ReleaseSummary]) -> None:
        self._found = found
        set_html(self._list, listed(found, time.time()))
        names = [_NONE, *dict.fromkeys((*self._ready, *(one.name for one in found)))]
        if list(self._choice.options) != names:
            chosen = self._choice.value
            with self._choice.hold_trait_notifications():  # Other options reset the value.
                self._choice.options = names
                self._choice.value = chosen

    async def _show(self, name: str) -> None:
        """Replace the panel by that of a release; its first requests are made in a thread."""
        set_html(self._problem, Markup(""))
        for panel in self._slot.children:
            panel.close()
        self._slot.children = ()
        if name == _NONE:
            return
        try:
            watch = await asyncio.to_thread(self._watch_of, name)
        except Exception as problem:
            set_html(self._problem, alert(f"{name}: {problem}"))
            return
        if self._choice.value == name:
            controls = Controls(watch.release, self._cluster, watch.mesh)
            self._slot.children = (ReleasePanel(watch, controls),)

    def _watch_of(self, name: str) -> Watch:
        """The watch of the release that can be started under a name, else of the one that has run."""
        release = self._ready.get(name) or release_state(name, self._cluster).release
        return Watch(release, self._cluster)


def listed(found: Sequence[ReleaseSummary], now_s: float) -> Markup:
    """The list of releases as a table."""
    if not found:
        return Markup('<p class="mk-muted">{}</p>').format(_EMPTY)
    return table(HEADINGS, [one.cells(now_s) for one in found])


def releases_panel(cluster: Cluster, *ready: Release) -> ReleaseChooser:
    """Create the list of a cluster's releases with a panel. Make it the last expression of a notebook cell.

    ``ready`` are releases to start from the panel; any other is joined as it runs, or shown as it ended.
    """
    return ReleaseChooser(cluster, releases(cluster), ready)
