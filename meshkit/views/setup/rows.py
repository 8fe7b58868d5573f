"""Inputs for lists and mappings of an intent: one row for each entry, which can be added and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import ipywidgets as widgets
from pydantic.fields import FieldInfo

from meshkit.intent.base import Part

_LABEL = {"description_width": "190px"}
UNSET = object()
"""What an input reads where the default of its field applies."""


class FieldInput(Protocol):
    """The input of one field."""

    barred: bool

    def row(self) -> widgets.Widget:
        """The input and its help below it."""

    def widgets(self) -> list[widgets.Widget]:
        """The widgets whose ``value`` changes when the user changes the input."""

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""

    def read(self) -> Any:
        """The value of the field; ``UNSET`` if the field's default applies."""

    def fill(self, value: Any) -> None:
        """Show a value of the field."""


MakeInput = Callable[[str, FieldInfo, Any], FieldInput]


class PartFields:
    """The inputs of the fields of one part."""

    def __init__(self, model: type[Part], make: MakeInput) -> None:
        self._model = model
        self.inputs = {key: make(key, each, default(each)) for key, each in model.model_fields.items()}
        self.rows = tuple(one.row() for one in self.inputs.values())

    def fill(self, value: Part | None) -> None:
        """Show a part; for None its defaults."""
        for name, each in self._model.model_fields.items():
            self.inputs[name].fill(default(each) if value is None else getattr(value, name))

    def read(self) -> dict[str, Any]:
        """The fields of the part, which the intent's model validates.

        Fields with their default value are left out, because a mesh rejects fields that are set and that it
        does not support.
        """
        given = {name: one.read() for name, one in self.inputs.items()}
        fields = self._model.model_fields
        return {
            name: value
            for name, value in given.items()
            if value is not UNSET and (fields[name].is_required() or value != default(fields[name]))
        }


class RowsInput:
    """The input of a list of parts, or of a mapping to parts, texts or percentages.

    ``kind`` is the type of an entry; ``keyed`` says that each has a key.
    """

    def __init__(
        self,
        name: str,
        field: FieldInfo,
        kind: type,
        make: MakeInput,
        hint: widgets.Widget,
        *,
        keyed: bool,
        reason: str = "",
    ) -> None:
        self.name, self._field, self._kind, self._make, self._keyed = name, field, kind, make, keyed
        self.barred = bool(reason)
        words = name.replace("_", " ")
        self.widget = widgets.Button(description=f"Add to {words}", icon="plus", disabled=self.barred)
        self.widget.add_class("mk-button").on_click(lambda _: self._add())
        self._hint = hint
        self._changes = widgets.IntText()
        self._box = widgets.VBox().add_class("mk-form-part")
        self.entries: list[Entry] = []

    def row(self) -> widgets.Widget:
        """The button that adds an entry, the help, and the entries."""
        return widgets.VBox([self.widget, self._hint, self._box]).add_class("mk-form-row")

    def widgets(self) -> list[widgets.Widget]:
        """A widget that is not shown, whose value counts the changes."""
        return [self._changes]

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        self.widget.disabled = locked or self.barred
        for entry in self.entries:
            entry.lock(locked)

    def read(self) -> Any:
        """The entries; ``UNSET`` for none, unless the field is required."""
        if not self.entries and not self._field.is_required():
            return UNSET
        if self._keyed:
            return {entry.key.value.strip(): entry.read() for entry in self.entries}
        return [entry.read() for entry in self.entries]

    def fill(self, value: Any) -> None:
        """Show other entries."""
        pairs = value.items() if isinstance(value, Mapping) else (("", each) for each in value or ())
        self.entries = [self._entry(key, each) for key, each in pairs]
        self._show()

    def _entry(self, key: str, value: Any) -> Entry:
        entry = Entry(self._kind, self._make, keyed=self._keyed, remove=self._remove)
        entry.fill(key, value)
        for widget in entry.widgets():
            widget.observe(lambda _: self._changed(), "value")
        return entry

    def _add(self) -> None:
        self.entries.append(self._entry("", None))
        self._show()
        self._changed()

    def _remove(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self._show()
        self._changed()

    def _show(self) -> None:
        self._box.children = tuple(entry.box for entry in self.entries)

    def _changed(self) -> None:
        self._changes.value += 1


class Entry:
    """One row: perhaps a key, the inputs of a part, a text or a slider, and the button that removes it."""

    def __init__(self, kind: type, make: MakeInput, *, keyed: bool, remove: Callable[[Entry], None]) -> None:
        self.key = widgets.Text(description="name", style=_LABEL, continuous_update=False)
        self.fields = PartFields(kind, make) if issubclass(kind, Part) else None
        self.value: Any = None
        if self.fields is None:
            style = {"description": "value", "style": _LABEL, "continuous_update": False}
            percent = kind is float
            self.value = (
                widgets.FloatSlider(min=0, max=100, step=0.1, **style) if percent else widgets.Text(**style)
            )
        self._remove = widgets.Button(description="Remove", icon="trash").add_class("mk-button")
        self._remove.on_click(lambda _: remove(self))
        shown = [*([self.key] if keyed else []), *(self.fields.rows if self.fields else (self.value,))]
        self.box = widgets.VBox([*shown, self._remove]).add_class("mk-form-entry")

    def widgets(self) -> Iterator[widgets.Widget]:
        """The widgets whose ``value`` changes when the user changes the entry."""
        yield self.key
        if self.fields is None:
            yield self.value
        for one in self._inputs():
            yield from one.widgets()

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        self.key.disabled = self._remove.disabled = locked
        if self.fields is None:
            self.value.disabled = locked
        for one in self._inputs():
            one.lock(locked)

    def read(self) -> Any:
        """The value of the entry."""
        return self.fields.read() if self.fields else self.value.value

    def fill(self, key: str, value: Any) -> None:
        """Show a value; None for a new entry."""
        self.key.value = key
        if self.fields:
            self.fields.fill(value)
        elif value is not None:
            self.value.value = value

    def _inputs(self) -> Sequence[FieldInput]:
        return tuple(self.fields.inputs.values()) if self.fields else ()


def default(field: FieldInfo) -> Any:
    """The default of a field, None if it is required."""
    return None if field.is_required() else field.get_default(call_default_factory=True)
