"""The release panel for a notebook cell: a live latency chart of both versions, and the release's controls.

The cell returns at once. A task on the notebook's own event loop looks every second; requests to the cluster
are made in threads, widgets are changed on the loop only. Callbacks of widgets may run in another thread
(ipykernel#1510), so each only hands its work to the loop. Nothing is kept here that the cluster does not
know: after a restart of the kernel, running the cell again shows the same release, which has gone on in its
own process meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
from markupsafe import Markup

from meshkit.decide import formatting as words
from meshkit.operations.release.controls import Controls
from meshkit.operations.release.state.model import SAME_POINTS
from meshkit.operations.release.watch import Watch, Watched
from meshkit.views.charts.svg import svg_chart
from meshkit.views.live_box import LiveBox, alert, hint, set_html
from meshkit.views.release import release_html
from meshkit.views.release.chart import figure_data
from meshkit.views.report import STYLE

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.intent.traffic import Route

LOOK_S = 1.0
"""Time between two looks while the panel is shown."""
MOST_MS = 500.0
SETTLED_S = 0.4
"""A slider that was not moved for this long is settled: several quick key presses are one change."""
Asking = Literal["", "rollback", "promote"]


class ReleasePanel(LiveBox):
    """The panel of one release. A new panel of the same release closes the older one."""

    def __init__(self, watch: Watch, controls: Controls, *, slow_down: bool = False) -> None:
        self._watch, self._controls = watch, controls
        self._release = controls.release
        self._now: Watched | None = None
        self._asking: Asking = ""
        self._doing = ""
        self._moves: dict[widgets.FloatSlider, int] = {}
        self._build(slow_down)
        super().__init__(self._children())
        self.add_class("mk")
        self.add_class("mk-panel")
        self._join_loop()
        self._replace_older(self._controls.cluster.server, self._release.name)
        self._show(self._now)
        if self._loop:
            self._spawn(self._look_for_ever())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and its HTML and text for readers without a kernel."""
        release = self._release
        text = (
            f"Canary release of {release.service} in {release.namespace}: {release.stable} to "
            f"{release.canary}. Run the cell to see it live."
        )
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        return bundle | {"text/plain": text, "text/html": Markup("<p>{}</p>").format(text)}

    # The widgets

    def _build(self, slow_down: bool) -> None:
        self._head, self._ladder, self._verdict = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._side, self._against, self._journal = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._details, self._unfold = self._unfolding()
        self._hint, self._problem = widgets.HTML(), widgets.HTML()
        self._start = self._button("Start release", "play", "mk-primary", self._controls.start)
        self._hold = self._button("Hold", "pause", "", self._toggle_hold)
        self._back = self._button("Roll back…", "undo", "mk-danger", None)
        self._back.on_click(lambda _: self._soon(self._confirm("rollback")))
        self._really = self._button("Roll back now", "undo", "mk-danger-now", self._roll_back)
        self._keep = self._button("Keep watching", "", "", None)
        self._keep.on_click(lambda _: self._soon(self._confirm("")))
        self._ask = self._button("Promote…", "arrow-up", "", None)
        self._ask.on_click(lambda _: self._soon(self._confirm("promote")))
        self._promote = self._button(
            "Promote now", "arrow-up", "mk-primary", lambda: self._controls.send("promote")
        )
        self._typed = widgets.Text(placeholder=f"type {self._release.service}", continuous_update=True)
        self._typed.observe(lambda _: self._soon(self._confirm(self._asking)), "value")
        self._share = self._slider("Share of the canary", 100.0, 1.0, "%", self._controls.shift)
        self._slow = self._slider("Slow the canary down", MOST_MS, 10.0, "ms", self._controls.slow_down)
        self._share.disabled = self._controls.route is None
        self._slow.disabled = not slow_down
        self._chart = _chart(_figure(None, self._release))
        self._actions = widgets.HBox()
        for widget, name in (
            (self._actions, "mk-actions"),
            (self._hint, "mk-hint"),
            (self._side, "mk-side-slot"),
        ):
            widget.add_class(name)

    def _children(self) -> tuple[widgets.Widget, ...]:
        card = (
            widgets.VBox([widgets.HTML(_CHART_TITLE), self._chart]).add_class("mk-card").add_class("mk-live")
        )
        hands = widgets.HBox([self._share, self._slow]).add_class("mk-hands")
        left = widgets.VBox([card, self._against]).add_class("mk-left")
        body = widgets.HBox([left, self._side]).add_class("mk-body")
        style = widgets.HTML(STYLE, layout={"display": "none"})
        return (
            style,
            self._head,
            self._ladder,
            self._verdict,
            self._unfold,
            self._details,
            self._actions,
            hands,
            self._problem,
            body,
            self._journal,
        )

    def _unfolding(self) -> tuple[widgets.HTML, widgets.ToggleButton]:
        """The details of the verdict, and the button that shows them.

        The verdict is drawn again every second, which would close a ``details`` element.
        """
        details = widgets.HTML(layout={"display": "none"})
        unfold = widgets.ToggleButton(description=release_html.DETAILS, icon="caret-right")
        unfold.add_class("mk-button").add_class("mk-unfold")

        def show(change: Mapping[str, Any]) -> None:
            details.layout.display = "" if change["new"] else "none"
            unfold.icon = "caret-down" if change["new"] else "caret-right"

        unfold.observe(show, "value")
        return details, unfold

    def _button(self, words_: str, icon: str, kind: str, verb: Callable[[], None] | None) -> widgets.Button:
        button = widgets.Button(description=words_, icon=icon).add_class("mk-button")
        if kind:
            button.add_class(kind)
        if verb:
            button.on_click(lambda _: self._soon(self._do(words_, verb, button)))
        return button

    def _slider(
        self, label: str, most: float, step: float, unit: str, verb: Callable[[float], None]
    ) -> widgets.FloatSlider:
        slider = widgets.FloatSlider(
            description=f"{label} ({unit})",
            max=most,
            step=step,
            readout_format=".0f",
            continuous_update=False,
            style={"description_width": "initial"},
        )
        slider.observe(lambda change: self._soon(self._slid(slider, change["new"], verb)), "value")
        return slider

    # What a person does

    async def _do(self, what: str, verb: Callable[[], None], button: widgets.Button) -> None:
        """Run a command in a thread and show its error in the panel."""
        button.disabled = True
        self._problem.value = ""
        self._asking = ""
        self._doing = f"{what}: asked for, waiting for the cluster…"
        self._show(self._now)
        try:
            await asyncio.to_thread(verb)
        except Exception as problem:
            self._problem.value = alert(f"{what}: {problem}")
        self._doing = ""
        await self._look_once()

    async def _slid(self, slider: widgets.FloatSlider, value: float, verb: Callable[[float], None]) -> None:
        """Apply a slider's value once it is settled, unless the cluster has it, as after ``_show``."""
        self._moves[slider] = mine = self._moves.get(slider, 0) + 1
        await asyncio.sleep(SETTLED_S)
        if self._moves[slider] != mine:
            return
        asked = self._now.canary_percent if self._now else None
        if slider is self._share and (self._running() or asked == value):
            return
        self._problem.value = ""
        try:
            await asyncio.to_thread(verb, value)
        except Exception as problem:
            self._problem.value = alert(f"{slider.description}: {problem}")

    async def _confirm(self, asking: Asking) -> None:
        if asking != self._asking:
            self._typed.value = ""
        self._asking = asking
        self._show(self._now)

    def _toggle_hold(self) -> None:
        held = self._now and self._now.state and self._now.state.held
        self._controls.send("resume" if held else "hold")

    def _roll_back(self) -> None:
        if self._running():
            self._controls.send("rollback")
        elif self._left_shifted():
            self._controls.give_back()
        else:
            self._controls.shift(0.0)

    # What is seen

    async def _look_for_ever(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(LOOK_S)

    async def _look_once(self) -> None:
        try:
            self._now = await asyncio.to_thread(self._watch.look)
            self._show(self._now)
        except Exception as problem:
            self._hint.value = hint(f"The cluster cannot be read: {problem}")

    def _show(self, now: Watched | None) -> None:
        state = now.state if now else None
        note = f"updated {release_html.clock_utc(now.taken_s)} UTC" if now else "looking…"
        where = f"{self._controls.mesh} on {self._controls.cluster.ref}"
        set_html(self._head, release_html.head(self._release, where, state, note))
        set_html(self._ladder, release_html.ladder(self._release, state))
        set_html(self._verdict, release_html.verdict(state, folded=False))
        details = release_html.details(state)
        set_html(self._details, details)
        self._unfold.disabled = not details
        set_html(self._against, release_html.against_stable(self._release, state))
        set_html(self._side, release_html.evidence(state))
        set_html(self._journal, release_html.journal(state, note="kept in the cluster"))
        self._show_actions(now)
        if now:
            self._chart.show(_figure(now, self._release))

    def _show_actions(self, now: Watched | None) -> None:
        running, percent = self._running(), (now.canary_percent or 0.0) if now else 0.0
        state = now.state if now else None
        self._start.disabled = now is None or running or bool(self._doing)
        self._hold.disabled = not running
        self._hold.description = "Resume" if state and state.held else "Hold"
        self._hold.icon = "play" if state and state.held else "pause"
        shiftable = percent > 0 and self._controls.route is not None
        back = running or self._left_shifted() or shiftable
        self._back.disabled = self._really.disabled = not back
        self._ask.disabled = not running
        self._share.disabled = running or self._controls.route is None
        if running or (now and self._share.value != percent and not self._tasks_of_hand()):
            self._share.value = percent
        children = self._asked(percent) if self._asking else self._verbs(now, running)
        if self._actions.children != children:
            self._actions.children = children

    def _verbs(self, now: Watched | None, running: bool) -> tuple[widgets.Widget, ...]:
        """The buttons and, left of them, what happens by itself."""
        set_html(self._hint, hint(self._safety_net(now, running)))
        return self._hint, self._start, self._ask, self._hold, self._back

    def _asked(self, percent: float) -> tuple[widgets.Widget, ...]:
        """The confirmation: what will happen, and for a promotion without all evidence a name to type."""
        where = self._controls.cluster.context
        state = self._now.state if self._now else None
        if self._asking == "rollback":
            before = state.found_percent if state and (self._running() or self._left_shifted()) else 0.0
            shift = f"from {words.percent(percent)} to {words.percent(before)} on {where}"
            set_html(self._hint, hint(f"Roll back now? The canary goes {shift}; its pods stay."))
            return self._hint, self._keep, self._really
        missing = state.verdict.open if state and state.verdict else ()
        shift = f"from {words.percent(percent)} to 100 % on {where}"
        unmet = ", ".join(release_html.condition_words(each, state) for each in missing)
        said = f"Promote now? The canary goes {shift}. " + (f"Not met: {unmet}." if unmet else "")
        set_html(self._hint, hint(said))
        self._promote.disabled = bool(missing) and self._typed.value != self._release.service
        typed = (self._typed,) if missing else ()
        return self._hint, *typed, self._keep, self._promote

    def _tasks_of_hand(self) -> bool:
        """Whether a task other than sampling runs, such as a shift that the cluster does not show yet."""
        return len(self._tasks) > 1

    def _safety_net(self, now: Watched | None, running: bool) -> str:
        if self._doing:
            return self._doing
        if now and now.problem:
            return now.problem
        if running:
            does = "freezes the weights" if self._release.on_harm == "freeze" else "rolls back"
            return f"Safety net on: it {does} by itself, also during a hold."
        if self._left_shifted():
            return "The release has ended: nothing rolls back by itself; a rollback restores what was before."
        return "No release runs: requests are shifted by hand, and nothing rolls back by itself."

    def _left_shifted(self) -> bool:
        """Whether the weights are those that the release left at its end, and not those from before it."""
        state, percent = (self._now.state, self._now.canary_percent) if self._now else (None, None)
        if state is None or percent is None or not state.given_away:
            return False
        return abs(percent - state.asked_percent) <= SAME_POINTS

    def _running(self) -> bool:
        return bool(self._now and self._now.state and not self._now.state.ended)


def release_panel(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    route: Route | None = None,
    slow_down: bool = False,
) -> ReleasePanel:
    """Create the panel of a release. Make it the last expression of a notebook cell.

    With a ``route`` that has both versions, requests can be shifted by hand while no release runs.
    ``slow_down`` adds a slider that slows down the canary of the demo shop.
    """
    watch = Watch(release, cluster, mesh=mesh)
    return ReleasePanel(watch, Controls(release, cluster, watch.mesh, route), slow_down=slow_down)


class SvgChart(widgets.HTML):  # type: ignore[misc]
    """The chart without anywidget: the same picture as SVG, drawn again for each sample window."""

    def show(self, figure: Mapping[str, Any]) -> None:
        """Show a figure."""
        self.value = svg_chart(figure)


_CHART_TITLE = Markup('<div class="mk-head"><h2>Stable and canary, side by side</h2></div>')


def _chart(figure: Mapping[str, Any]) -> Any:
    with contextlib.suppress(ImportError):
        from meshkit.views.charts.live_chart import LiveChart

        return LiveChart(figure)
    return SvgChart()


def _figure(now: Watched | None, release: Release) -> Mapping[str, Any]:
    return figure_data(now.looks, release, now.state) if now else figure_data((), release)
