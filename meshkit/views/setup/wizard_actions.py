"""The buttons of the wizard (apply, undo, pause, stop), their confirmations, and the sentence beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import ipywidgets as widgets

from meshkit.views.live_box import hint, set_html

if TYPE_CHECKING:
    from meshkit.views.setup.wizard_run import Run

Asking = Literal["", "apply", "undo", "stop"]
"""The action that waits for a confirmation; empty if there is none."""


@dataclass(frozen=True)
class Verbs:
    """The functions that the buttons call; ``typed`` is called when the user types a confirmation."""

    apply: Callable[[], None]
    ask: Callable[[Asking], None]
    confirm: Callable[[], None]
    toggle_pause: Callable[[], None]
    typed: Callable[[], None]


@dataclass(frozen=True)
class ActionState:
    """What the row shows of the selected stage; ``run`` is None while no change runs."""

    asking: Asking
    steps: int
    undoable: str
    danger: str
    run: Run | None


class ActionRow(widgets.HBox):  # type: ignore[misc]
    """The buttons of one stage. The user confirms a risky change by typing the name of the namespace."""

    def __init__(
        self,
        namespace: str,
        context: str,
        verbs: Verbs,
        button: Callable[[str, str, Callable[[], None], str], widgets.Button],
    ) -> None:
        self._namespace, self._context = namespace, context
        self.hint = widgets.HTML().add_class("mk-hint")
        self.undo = button("Undo…", "undo", lambda: verbs.ask("undo"), "")
        self.apply = button("Apply", "", verbs.apply, "mk-primary")
        self.cancel = button("Cancel", "", lambda: verbs.ask(""), "")
        self.confirm = button("Undo now", "undo", verbs.confirm, "mk-danger-now")
        self.pause = button("Pause", "pause", verbs.toggle_pause, "")
        self.stop = button("Stop and undo…", "undo", lambda: verbs.ask("stop"), "mk-danger")
        self.typed = widgets.Text(continuous_update=True).add_class("mk-typed")
        self.typed.observe(lambda _: verbs.typed(), "value")
        super().__init__()
        self.add_class("mk-actions")

    def show(self, state: ActionState | None) -> None:
        """Update the buttons and the sentence; None hides them, for a stage without settings."""
        children = self._children_of(state) if state else ()
        if self.children != children:  # type: ignore[has-type]
            self.children = children

    def _children_of(self, state: ActionState) -> tuple[widgets.Widget, ...]:
        running, steps = state.run is not None, state.steps
        plural = "" if steps == 1 else "s"
        idle = f"Apply {steps} change{plural}" if steps else "Apply"
        self.apply.description = "Applying…" if running else idle
        self.apply.disabled = running or not steps
        self.undo.disabled = running or not state.undoable
        self.pause.description = "Resume" if state.run and state.run.paused else "Pause"
        set_html(self.hint, hint(self._sentence(state)))
        if state.asking == "apply":
            self.confirm.description, self.confirm.icon = "Apply anyway", "check"
            self.confirm.disabled = self.typed.value != self._namespace
            self.typed.placeholder = f"type {self._namespace}"
            self.typed.description = f"Type {self._namespace}"
            return self.hint, self.typed, self.cancel, self.confirm
        if state.asking:
            self.confirm.description = "Stop and undo now" if state.asking == "stop" else "Undo now"
            self.confirm.icon, self.confirm.disabled = "undo", False
            return self.hint, self.cancel, self.confirm
        if state.run:
            if state.run.verb == "apply":
                return self.hint, self.pause, self.stop, self.apply
            return self.hint, self.apply
        return self.hint, self.undo, self.apply

    def _sentence(self, state: ActionState) -> str:
        """The sentence beside the buttons."""
        if state.asking == "apply":
            return f"{state.danger} Type the namespace to apply it to {self._context} anyway."
        if state.asking == "stop":
            return "Stop before the next step, and undo the steps that are done?"
        if state.asking == "undo":
            return (
                f"Undo change {state.undoable} of this stage on {self._context}? "
                "Fields that others changed since then are not touched."
            )
        if state.run:
            return "It can be paused between two steps." if state.run.verb == "apply" else ""
        if state.steps:
            return "Dry run on the server: accepted. Nothing has been changed yet."
        if state.undoable:
            return f"The last change of this stage is {state.undoable}."
        return ""
