"""The setup wizard for a notebook cell, with the stages at the left and the selected stage at the right.

All state is kept in the cluster: after a restart of the kernel, or for a second person, the wizard shows the
same stages in the same states. Requests to the cluster are made in threads. Widgets are changed on the
notebook's event loop only. Their callbacks may run in another thread, so a callback only schedules its work.

Apply is enabled once its plan is shown, and applies that plan only. Where calls may be refused, the namespace
must be typed first. A running change can be paused between two steps, or stopped, which undoes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from markupsafe import Markup

from meshkit.errors import BadInput, MeshkitError
from meshkit.meshes import registry
from meshkit.operations.setup.guide import Setup, SetupSnapshot
from meshkit.operations.setup.stages import STAGES, Stage, is_watched
from meshkit.views.live_box import LiveBox, alert, hint, set_html
from meshkit.views.plan_html import no_plan_card, plan_card
from meshkit.views.report import STYLE
from meshkit.views.setup import setup_html
from meshkit.views.setup.takeaway import takeaway_card
from meshkit.views.setup.wizard_actions import ActionRow, ActionState, Asking, Verbs
from meshkit.views.setup.wizard_run import Run
from meshkit.views.setup.wizard_settings import StageSettings

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.base import Intent
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.status import StageStatus

LOOK_S = 2.0
"""Seconds between two snapshots of the cluster while the wizard is shown."""
READING = "reading the cluster…"
WINDOW_LOOKS = 6
"""Calls are counted between a snapshot and the one this many before it."""


class SetupWizard(LiveBox):
    """The wizard of one cluster, mesh and namespace. A new wizard of the same closes the older one."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._looks: deque[SetupSnapshot] = deque(maxlen=WINDOW_LOOKS)
        self._index = 0
        self._plan: Plan | None = None
        self._planned_for: tuple[int, tuple[Intent, ...]] | None = None
        self._undoable = ""
        self._asking: Asking = ""
        self._unplannable = False
        self._run: Run | None = None
        self._join_loop()
        self._build()
        super().__init__(self._children())
        self.add_class("mk").add_class("mk-wizard")
        self._replace_older(self._setup.cluster.server, self._setup.mesh, self._setup.namespace)
        if self._loop:
            self._show_reading()
            self._spawn(self._look_for_ever())
        else:
            self._open(setup.look())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and the state of every stage as HTML and as text for readers without a kernel."""
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        title = f"{self._title()}, namespace {self._setup.namespace} of cluster {self._setup.cluster.ref}"
        if not self._looks:
            text = f"{title}: the guided setup. Run the cell to see it live."
            return bundle | {"text/plain": text, "text/html": Markup("<p>{}</p>").format(text)}
        page = setup_html.overview(self._look, title)
        return bundle | {"text/plain": str(self._look), "text/html": page}

    # The widgets

    def _build(self) -> None:
        self._head, self._chip = widgets.HTML(), widgets.HTML()
        self._back = self._button("Back", "", lambda: self._step(-1))
        self._next = self._button("Next", "", lambda: self._step(1))
        self._rows = [widgets.HTML() for _ in STAGES]
        self._picks = [self._pick(number) for number in range(len(STAGES))]
        self._why, self._findings, self._evidence = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._settings = StageSettings(lambda: self._soon(self._show_settings()))
        self._shown_plan, self._progress = widgets.HTML(), widgets.HTML()
        self._problem = widgets.HTML()
        verbs = Verbs(
            apply=self._apply_asked,
            ask=self._ask,
            confirm=self._confirmed,
            toggle_pause=self._toggle_pause,
            typed=lambda: self._soon(self._show_actions()),
        )
        namespace, context = self._setup.namespace, self._setup.cluster.context
        self._actions = ActionRow(namespace, context, verbs, self._button)

    def _children(self) -> tuple[widgets.Widget, ...]:
        style = widgets.HTML(STYLE, layout={"display": "none"})
        turn = widgets.HBox([self._chip, self._back, self._next]).add_class("mk-turn")
        head = widgets.HBox([self._head, turn]).add_class("mk-wizard-head")
        stages = [
            widgets.VBox([row, pick]).add_class("mk-stage")
            for row, pick in zip(self._rows, self._picks, strict=True)
        ]
        main = widgets.VBox(
            [
                self._why,
                self._problem,
                self._findings,
                self._evidence,
                self._settings,
                self._shown_plan,
                self._actions,
                self._progress,
            ]
        )
        body = [widgets.VBox(stages).add_class("mk-stages"), main.add_class("mk-main")]
        return style, head, widgets.HBox(body).add_class("mk-wizard-body")

    def _button(self, words: str, icon: str, verb: Callable[[], None], kind: str = "") -> widgets.Button:
        button = widgets.Button(description=words, icon=icon).add_class("mk-button")
        if kind:
            button.add_class(kind)
        button.on_click(lambda _: self._soon(self._do(verb)))
        return button

    def _pick(self, number: int) -> widgets.Button:
        button = widgets.Button().add_class("mk-stage-pick")
        button.on_click(lambda _: self._soon(self._do(lambda: self._choose(number))))
        return button

    # What a person does

    async def _do(self, verb: Callable[[], None]) -> None:
        """Run the action of a click and show its error, if any."""
        try:
            verb()
        except Exception as problem:
            self._say_problem(problem)

    def _step(self, by: int) -> None:
        self._choose(min(max(self._index + by, 0), len(STAGES) - 1))

    def _choose(self, index: int) -> None:
        """Show another stage. While a change runs, its stage stays selected."""
        if self._running or not self._looks:
            return
        self._index, self._plan, self._planned_for, self._asking = index, None, None, ""
        self._problem.value, self._undoable, self._run = "", "", None
        self._settings.toggle.value = False
        self._propose()
        self._show()
        if self._loop:
            self._spawn(self._examine())

    def _ask(self, what: Asking) -> None:
        """Replace the buttons by a confirmation, or show them again."""
        self._asking, self._actions.typed.value = what, ""
        self._show_actions_now()

    def _apply_asked(self) -> None:
        if self._danger():
            self._ask("apply")
        else:
            self._start_apply(force=False)

    def _confirmed(self) -> None:
        asked, self._asking = self._asking, ""
        if asked == "apply":
            self._start_apply(force=True)
        elif asked == "undo":
            self._start(Run.undo(self._setup, self._stage.name, self._later))
        elif asked == "stop" and self._run:
            self._run.stop()
        self._show_actions_now()

    def _start_apply(self, *, force: bool) -> None:
        if self._plan is None:
            raise BadInput("Apply", "no plan was shown.", remedy="Wait for the plan.")
        made = Run.apply(self._setup, self._stage.name, self._plan, self._later, force=force)
        self._start(made)

    def _start(self, run: Run) -> None:
        if self._running:
            return
        self._run, self._problem.value = run, ""
        self._show()
        self._spawn(self._carry_out(run))

    async def _carry_out(self, run: Run) -> None:
        try:
            await asyncio.to_thread(run.carry_out)
        except Exception as problem:
            self._say_problem(problem)
        self._plan, self._planned_for, self._asking = None, None, ""
        if run.verb == "undo" and self._settings.form is None:
            self._propose()
        await self._look_once()
        await self._examine()

    def _toggle_pause(self) -> None:
        if self._run:
            self._run.toggle_pause()
        self._show_actions_now()

    def _later(self) -> None:
        """Schedule a refresh of the progress; called in the thread of a running change."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._show_run)

    # What is seen

    async def _look_for_ever(self) -> None:
        while not self._looks:
            try:
                look = await asyncio.to_thread(self._setup.look)
            except Exception as problem:
                self._problem.value = alert(f"The cluster cannot be read: {problem}")
                await asyncio.sleep(LOOK_S)
            else:
                self._open(look)
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._running:
                await self._look_once()
                await self._examine()

    def _open(self, look: SetupSnapshot) -> None:
        """Show the first snapshot of the cluster, at the first stage that is not done."""
        self._looks.append(look)
        self._choose(STAGES.index(look.next or STAGES[-1]))

    async def _look_once(self) -> None:
        try:
            look = await asyncio.to_thread(self._setup.look, self._looks[0])
        except Exception as problem:
            self._actions.hint.value = hint(f"The cluster cannot be read: {problem}")
            return
        self._looks.append(look)
        self._show()

    async def _examine(self) -> None:
        """Plan the present settings, and look up the change that can be undone."""
        index, stage = self._index, self._stage
        if self._running or stage.intent is None:
            self._show()
            return
        try:
            undoable = await asyncio.to_thread(self._setup.undoable, stage.name)
            if index != self._index:
                return
            self._undoable = undoable
            await self._plan_again(index)
        except MeshkitError as problem:
            self._plan, self._unplannable = None, True
            self._say_problem(problem)
        self._show()

    async def _plan_again(self, index: int) -> None:
        """Dry-run the settings, unless the plan shown is a plan of the same settings."""
        if self._look.statuses[index].state == "blocked":
            self._plan = None
            return
        settings = self._settings
        if settings.form is None:
            self._propose()
        elif not settings.opened:
            settings.follow(self._setup.propose(self._stage.name, self._look))
        done = self._look.statuses[index].state == "done"
        if settings.form is None or (done and not settings.opened):
            self._plan, self._planned_for = None, None
            return
        wanted = (settings.read(),)
        if self._planned_for == (index, wanted):
            return
        plan = await asyncio.to_thread(self._setup.plan, self._stage.name, *wanted, look=self._look)
        await asyncio.to_thread(lambda: plan.effects)  # reads the cluster, so that showing the plan does not
        if index == self._index and not self._running:
            self._plan, self._planned_for = plan, (index, wanted)
            if self._unplannable:
                self._problem.value, self._unplannable = "", False

    def _propose(self) -> None:
        """Fill the form with the settings that the stage proposes, or remove it where there are none."""
        proposed = self._setup.propose(self._stage.name, self._look) if self._stage.intent else None
        self._settings.propose(proposed, self._setup.cannot(proposed) if proposed else {})

    async def _show_settings(self) -> None:
        self._settings.show()
        await self._examine()

    def _show_reading(self) -> None:
        """Show the stages without their states until the cluster was read for the first time."""
        cluster = self._setup.cluster.ref
        set_html(self._head, setup_html.head(self._title(), cluster, self._setup.namespace, READING))
        for number, (stage, pick) in enumerate(zip(STAGES, self._picks, strict=True), start=1):
            pick.description = f"{number}. {stage.title}"
        for button in (*self._picks, self._back, self._next):
            button.disabled = True

    def _show(self) -> None:
        look, status = self._look, self._status
        taken = f"read {setup_html.clock(look.taken_s)} UTC"
        cluster = self._setup.cluster.ref
        set_html(self._head, setup_html.head(self._title(), cluster, self._setup.namespace, taken))
        set_html(self._chip, setup_html.position(self._index + 1, status))
        for number, (stage, shown) in enumerate(zip(STAGES, look.statuses, strict=True)):
            selected = number == self._index
            set_html(self._rows[number], setup_html.stage_row(number + 1, stage, shown, selected=selected))
            words = f"{number + 1}. {stage.title}: {setup_html.state_words(shown)}"
            self._picks[number].description = f"{words}, shown" if selected else words
        set_html(self._why, setup_html.explanation(self._index + 1, self._stage, self._setup.namespace))
        set_html(self._findings, setup_html.findings_card(status, look.taken_s))
        set_html(self._evidence, setup_html.tables(status))
        self._settings.show()
        set_html(self._shown_plan, self._plan_html())
        self._show_run()

    def _plan_html(self) -> Markup:
        if self._plan is not None:
            return plan_card(self._plan)
        if self._stage.intent is not None:
            return no_plan_card(self._status, self._settings.form is not None)
        last = self._index == len(STAGES) - 1
        return takeaway_card(self._setup, self._look) if last else Markup("")

    def _show_run(self) -> None:
        run = self._run
        watched = self._plan is not None and is_watched(self._stage.name, self._plan)
        lines = run.lines() if run else setup_html.planned_lines(self._plan, watched=watched)
        log = list(run.log) if run else []
        note = run.words() if run else f"0 of {len(lines)} done" if lines else ""
        set_html(self._progress, setup_html.progress_card(lines, log, note) if lines or log else Markup(""))
        self._show_actions_now()

    async def _show_actions(self) -> None:
        self._show_actions_now()

    def _show_actions_now(self) -> None:
        running, plan = self._running, self._plan
        for each in (*self._picks, self._back, self._next):
            each.disabled = running
        self._back.disabled = running or self._index == 0
        self._next.disabled = (
            running or self._index == len(STAGES) - 1 or self._status.state in ("ready", "blocked")
        )
        self._settings.lock(running)
        steps = len(plan.steps) if plan else 0
        if self._stage.intent is None:
            self._actions.show(None)
            return
        run = self._run if running else None
        danger = self._danger() if self._asking == "apply" else ""
        self._actions.show(ActionState(self._asking, steps, self._undoable, danger, run))

    def _danger(self) -> str:
        if self._planned_for is None:
            return ""
        return self._setup.danger(self._stage.name, self._planned_for[1], self._look)

    def _say_problem(self, problem: Exception) -> None:
        self._problem.value = alert(str(problem))
        self._show()

    @property
    def _look(self) -> SetupSnapshot:
        return self._looks[-1]

    @property
    def _stage(self) -> Stage:
        return STAGES[self._index]

    @property
    def _status(self) -> StageStatus:
        return self._look.statuses[self._index]

    @property
    def _running(self) -> bool:
        return self._run is not None and self._run.running

    def _title(self) -> str:
        return registry.mesh(self._setup.mesh).title


def setup_wizard(cluster: Cluster, *, mesh: str | None = None, namespace: str = "shop") -> SetupWizard:
    """Create the setup wizard for one namespace. Make it the last expression of a notebook cell."""
    return SetupWizard(Setup(cluster, mesh, namespace))
