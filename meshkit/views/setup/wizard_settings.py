"""The settings of one stage in the wizard: a summary of the proposal, and a form or a file to change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import ipywidgets as widgets

from meshkit.errors import BadInput
from meshkit.intent.document import load_intents
from meshkit.views.live_box import hint, set_html
from meshkit.views.setup.form import IntentForm

if TYPE_CHECKING:
    from meshkit.intent.base import Intent


class StageSettings(widgets.VBox):  # type: ignore[misc]
    """A summary of the settings, with a form below it while the user changes them."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """``changed`` is called on the widgets' thread when the user changes a value or toggles the form."""
        self._changed = changed
        self.form: IntentForm | None = None
        self._words = widgets.HTML().add_class("mk-hint")
        self.toggle = widgets.ToggleButton(description="Change the settings", icon="sliders-h")
        self.toggle.add_class("mk-button").observe(lambda _: changed(), "value")
        self.file = widgets.Text(
            description="from a file",
            placeholder="the path of a YAML file, which fills the inputs below",
            style={"description_width": "190px"},
            continuous_update=False,
        )
        self.file.observe(lambda _: self._file_named(), "value")
        self._file_unread = False
        self._file_problem: BadInput | None = None
        self._model: type[Intent] | None = None
        self._file_row = widgets.VBox([self.file]).add_class("mk-form-row")
        self._line = widgets.HBox([self._words, self.toggle]).add_class("mk-settings-head")
        super().__init__()
        self.add_class("mk-settings")

    @property
    def opened(self) -> bool:
        """Whether the form is open; then a new proposal does not replace the settings."""
        return bool(self.toggle.value)

    def propose(self, intent: Intent | None, cannot: Mapping[str, str]) -> None:
        """Reset to the proposal of a stage; None if nothing can be proposed yet."""
        self.form = IntentForm(intent, cannot, self._changed) if intent else None
        self._model = type(intent) if intent else None
        self.file.value, self._file_unread, self._file_problem = "", False, None
        self.show()

    def follow(self, intent: Intent | None) -> None:
        """Show a newer proposal. Do not call it while the form is open."""
        if intent and self.form:
            self.form.fill(intent)

    def read(self) -> Intent:
        """The intent with the present settings.

        Raises ``BadInput`` with the name of an invalid field, or of a file that does not fit the stage.
        """
        assert self.form is not None
        if self._file_problem:
            raise self._file_problem
        return self.form.read()

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        self.toggle.disabled = self.file.disabled = locked
        if self.form:
            self.form.lock(locked)

    def show(self) -> None:
        """Update the summary and the widgets."""
        self.toggle.description = "Use the proposal" if self.opened else "Change the settings"
        shown: tuple[widgets.Widget, ...] = ()
        self._take_file()
        if self.form:
            set_html(self._words, hint(self._sentence()))
            shown = (self._line, self._file_row, self.form) if self.opened else (self._line,)
        if self.children != shown:  # type: ignore[has-type]
            self.children = shown

    def _file_named(self) -> None:
        self._file_unread = True
        self._changed()

    def _take_file(self) -> None:
        """Fill the form from the file that was named since the last call."""
        path, self._file_unread, unread = self.file.value.strip(), False, self._file_unread
        if not unread or self.form is None or self._model is None:
            return
        self._file_problem = None
        try:
            intents = load_intents(path) if path else []
            if path and [type(each) for each in intents] != [self._model]:
                wanted = self._model.__name__
                remedy = f"Name a file with one document of kind: {wanted}, or use 'meshkit setup apply'."
                raise BadInput(path, f"this stage takes one {wanted}.", remedy=remedy)
        except BadInput as problem:
            self._file_problem = problem
            return
        for intent in intents:
            self.form.fill(intent)

    def _sentence(self) -> str:
        try:
            fields = self.read().model_dump(mode="json", exclude_none=True)
        except BadInput as problem:
            return str(problem)
        fields.pop("namespace", None)
        plain = {name: value for name, value in fields.items() if not isinstance(value, list | dict)}
        words = ", ".join(f"{name.replace('_', ' ')} {_word(value)}" for name, value in plain.items())
        return f"Settings: {words}" if words else "Settings as proposed"


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
