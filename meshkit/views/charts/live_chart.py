"""A plotly chart that grows in a notebook and sends only new points to the browser.

plotly's FigureWidget sends its 5 MB script with every figure and cannot append, so a live chart would cost
100 KB an update. Here the browser asks the kernel once a page for plotly's script (compressed, from the
installed plotly package: it works offline), once a view for the whole figure, and afterwards receives what
changed: points added to the end of a trace, values replaced, parts of the layout. The figure itself is made
elsewhere, by a pure function of the data: ``show`` compares it with what the browser already has. The browser
also asks whether the kernel is there, and the view says so when no answer comes.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget

Figure = Mapping[str, Any]
"""A plotly figure as JSON data: ``data`` is a list of traces, ``layout`` a mapping; arrays are plain lists.
"""


class LiveChart(anywidget.AnyWidget):
    """A chart that shows its latest figure. Call ``show`` on the kernel's event loop.

    ``on_click`` gets the ``customdata`` of a point that is clicked.
    """

    _esm = Path(__file__).parent / "live_chart.js"

    def __init__(self, figure: Figure, on_click: Callable[[Any], None] | None = None) -> None:
        super().__init__()
        self._figure, self._on_click = figure, on_click
        self.on_msg(self._answer)

    def show(self, figure: Figure) -> None:
        """Show a figure by sending its differences from the previous one."""
        message = changes(self._figure, figure)
        self._figure = figure
        if message is not None:
            self.send(message)

    def _answer(self, _widget: Any, message: Mapping[str, Any], _buffers: Any) -> None:
        if message.get("kind") == "plotly":
            self.send({"kind": "plotly"}, [_plotly_script()])
        elif message.get("kind") == "alive":
            self.send({"kind": "alive"})
        elif message.get("kind") == "figure":
            self.send({"kind": "figure", **self._figure})
        elif message.get("kind") == "click" and self._on_click:
            self._on_click(message.get("data"))


def changes(before: Figure, after: Figure) -> dict[str, Any] | None:
    """The message that turns one figure into another, or None when they are equal.

    ``grown`` holds (trace, key, new items) where a list only grew at its end, ``set`` holds (trace, key,
    value) for any other difference, ``layout`` the top-level keys that differ. With another number of traces
    the whole figure is sent.
    """
    if len(before["data"]) != len(after["data"]):
        return {"kind": "figure", **after}
    grown: list[tuple[int, str, Any]] = []
    replaced: list[tuple[int, str, Any]] = []
    for index, (old, new) in enumerate(zip(before["data"], after["data"], strict=True)):
        for key in [*new, *(key for key in old if key not in new)]:
            was, now = old.get(key), new.get(key)
            if was == now:
                continue
            if isinstance(was, list) and isinstance(now, list) and was and now[: len(was)] == was:
                grown.append((index, key, now[len(was) :]))
            else:
                replaced.append((index, key, now))
    old_layout, new_layout = before["layout"], after["layout"]
    keys = [*new_layout, *(key for key in old_layout if key not in new_layout)]
    layout = {key: new_layout.get(key) for key in keys if old_layout.get(key) != new_layout.get(key)}
    if not (grown or replaced or layout):
        return None
    return {"kind": "change", "grown": grown, "set": replaced, "layout": layout}


@functools.cache
def _plotly_script() -> bytes:
    """plotly's own script from the installed package, compressed (1.6 MB of 4.9)."""
    from plotly.offline import get_plotlyjs

    return zlib.compress(get_plotlyjs().encode())
