"""The panel of an experiment for a notebook cell: its controls, a live chart, and what was set.

The cell returns at once. A task on the notebook's event loop takes a sample every second; requests to the
cluster are made in threads, widgets are changed on the loop only. Quick changes of controls become one
change. The experiment itself decides what is allowed and puts everything back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from markupsafe import Markup

from meshkit.errors import BadInput
from meshkit.kube.kinds import NODE, ZONE
from meshkit.operations.experiments.presets import PRESETS, Moment
from meshkit.views.charts.svg import svg_chart
from meshkit.views.experiments import html
from meshkit.views.experiments.chart import Series, experiment_chart, figure_data
from meshkit.views.experiments.controls import Controls
from meshkit.views.live_box import LiveBox, alert, hint, set_html
from meshkit.views.report import STYLE

if TYPE_CHECKING:
    from meshkit.operations.experiments.experiment import Experiment
    from meshkit.operations.experiments.settings import ExperimentSettings

LOOK_S = 1.0
QUIET_S = 0.4
"""A change is applied once no control was changed for so long, so that three key presses are one change."""
STEP_S = 20.0
ALL_CALLERS = "all callers"


class ExperimentPanel(LiveBox):
    """The panel of one experiment. A new panel of the same experiment closes the older one."""

    def __init__(
        self, experiment: Experiment, *, zones: tuple[str, ...] = (), workloads: tuple[str, ...] = ()
    ) -> None:
        self._experiment, self._series = experiment, Series()
        self._wanted = experiment.settings
        self._pending: asyncio.Task[None] | None = None
        self._playing: asyncio.Task[None] | None = None
        self._doing = ""
        self._controls = Controls(
            experiment.route, self._asked, disposable=experiment.disposable, workloads=workloads, zones=zones
        )
        self._build()
        super().__init__(self._children())
        self.add_class("mk")
        self.add_class("mk-panel")
        self._join_loop()
        self._replace_older(experiment.cluster.server, experiment.target)
        self._controls.show(self._wanted)
        self._show()
        if self._loop:
            self._spawn(self._look_for_ever())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and the chart so far as a picture and text for readers without a kernel."""
        chart = experiment_chart(self._experiment.run)
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        return bundle | {"text/plain": chart.text, "image/svg+xml": chart.svg}

    # The widgets

    def _build(self) -> None:
        self._head, self._story, self._side = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._hint, self._problem = widgets.HTML(), widgets.HTML()
        self._side.add_class("mk-side-slot")
        self._hint.add_class("mk-hint")
        self._preset = widgets.Dropdown(
            description="Preset", options=list(PRESETS), style={"description_width": "initial"}
        )
        self._play = self._button("Play preset", "play", "mk-primary")
        self._play.on_click(lambda _: self._soon(self._start_preset()))
        self._reset = self._button("Reset all", "undo", "")
        self._reset.on_click(lambda _: self._soon(self._as_found()))
        self._stop = self._button("Stop and put back", "stop", "mk-danger")
        self._stop.on_click(lambda _: self._soon(self._end()))
        self._caller = widgets.Dropdown(
            description="Calls from", options=[ALL_CALLERS], style={"description_width": "initial"}
        )
        self._caller.observe(lambda _: self._soon(self._show_later()), "value")
        self._chart = _chart(figure_data(self._series, self._experiment.run))

    def _children(self) -> tuple[widgets.Widget, ...]:
        title = widgets.HTML(
            Markup('<div class="mk-head"><h2>Each version, as its callers see it</h2></div>')
        )
        card = widgets.VBox([widgets.HBox([title, self._caller]), self._chart])
        card.add_class("mk-card").add_class("mk-live")
        actions = widgets.HBox([self._hint, self._preset, self._play, self._reset, self._stop])
        actions.add_class("mk-actions")
        body = widgets.HBox([card, self._side]).add_class("mk-body")
        style = widgets.HTML(STYLE, layout={"display": "none"})
        return (style, self._head, actions, self._controls, self._problem, body, self._story)

    def _button(self, words: str, icon: str, kind: str) -> widgets.Button:
        button = widgets.Button(description=words, icon=icon).add_class("mk-button")
        return button.add_class(kind) if kind else button

    # What a person does

    def _asked(self, changes: Mapping[str, Any]) -> None:
        """A control has changed, perhaps in another thread."""
        self._soon(self._want(changes))

    async def _want(self, changes: Mapping[str, Any]) -> None:
        try:
            self._wanted = self._wanted.changed(changes)
        except BadInput as problem:
            self._problem.value = alert(str(problem))
            return
        self._cancel_preset()
        if self._pending is not None and not self._pending.done():
            self._pending.cancel()
        self._pending = asyncio.create_task(self._apply_when_quiet())

    async def _apply_when_quiet(self) -> None:
        await asyncio.sleep(QUIET_S)
        self._spawn(self._apply(self._wanted))

    async def _apply(self, settings: ExperimentSettings) -> None:
        """Apply settings in a thread; after a refusal the controls show what is in force."""
        self._problem.value, self._doing = "", "Changing…"
        self._show()
        try:
            await asyncio.to_thread(self._experiment.put, settings)
        except Exception as problem:
            self._problem.value = alert(str(problem))
            if self._wanted == settings:
                self._wanted = self._experiment.settings
        self._doing = ""
        self._controls.show(self._wanted)
        self._show()

    async def _start_preset(self) -> None:
        self._cancel_preset()
        name = str(self._preset.value)
        try:
            moments = await asyncio.to_thread(self._experiment.preset, name, STEP_S)
        except Exception as problem:
            self._problem.value = alert(f"{name}: {problem}")
            return
        self._playing = asyncio.create_task(self._follow(moments))

    async def _follow(self, moments: list[Moment]) -> None:
        start_s = asyncio.get_running_loop().time()
        for at_s, settings in moments:
            await asyncio.sleep(max(0.0, start_s + at_s - asyncio.get_running_loop().time()))
            if settings is not None:
                self._wanted = settings
                await self._apply(settings)

    async def _as_found(self) -> None:
        self._cancel_preset()
        self._wanted = type(self._wanted)()
        await self._apply(self._wanted)

    async def _end(self) -> None:
        self._cancel_preset()
        self._doing = "Putting everything back…"
        await self._in_thread(asyncio.to_thread(self._experiment.close))
        self._doing = ""
        self._show()

    async def _in_thread(self, work: Coroutine[Any, Any, None]) -> None:
        self._show()
        try:
            await work
        except Exception as problem:
            self._problem.value = alert(str(problem))

    async def _show_later(self) -> None:
        self._show()

    def _cancel_preset(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    def close(self) -> None:
        """Stop sampling and remove the widgets. The experiment itself goes on."""
        self._cancel_preset()
        if self._pending is not None:
            self._pending.cancel()
        super().close()

    # What is seen

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while self._experiment.over is None:
            due_s = loop.time() + LOOK_S
            try:
                await asyncio.to_thread(self._experiment.look)
            except Exception as problem:
                self._problem.value = alert(f"The cluster cannot be read: {problem}")
            self._show()
            await asyncio.sleep(max(0.05, due_s - loop.time()))
        self._show()

    def _show(self) -> None:
        experiment, run = self._experiment, self._experiment.run
        set_html(self._head, html.head(experiment))
        set_html(self._side, html.figures(run))
        set_html(self._story, html.story(run))
        set_html(self._hint, hint(self._words()))
        over = experiment.over is not None
        for widget in (self._preset, self._play, self._reset, self._stop):
            widget.disabled = over or (self._doing != "" and widget is not self._stop)
        self._controls.disable(all_of_them=over)
        callers = sorted({sample.caller for sample in run.samples if sample.service == run.route.service})
        options = (ALL_CALLERS, *callers)
        if tuple(self._caller.options) != options:
            self._caller.options = options
        caller = None if self._caller.value in (ALL_CALLERS, None) else str(self._caller.value)
        self._series = self._series.follow(run, caller)
        self._chart.show(figure_data(self._series, run))

    def _words(self) -> str:
        if self._experiment.over is not None:
            return f"This experiment is over: {self._experiment.over}."
        if self._doing:
            return self._doing
        if self._experiment.problem:
            return self._experiment.problem
        return "Every change is in the journal first; leaving puts everything back."


def experiment_panel(experiment: Experiment) -> ExperimentPanel:
    """Create the panel of an experiment. Make it the last expression of a notebook cell."""
    zones: set[str] = set()
    workloads: list[str] = []
    if experiment.disposable:
        nodes = experiment.cluster.api.list(NODE)
        zones = {(node["metadata"].get("labels") or {}).get(ZONE, "") for node in nodes} - {""}
        workloads = experiment.workloads()
    return ExperimentPanel(experiment, zones=tuple(sorted(zones)), workloads=tuple(workloads))


class _SvgChart(widgets.HTML):  # type: ignore[misc]
    """The chart without anywidget."""

    def show(self, figure: Mapping[str, Any]) -> None:
        """Show a figure."""
        self.value = svg_chart(figure)


def _chart(figure: Mapping[str, Any]) -> Any:
    with contextlib.suppress(ImportError):
        from meshkit.views.charts.live_chart import LiveChart

        return LiveChart(figure)
    return _SvgChart()
