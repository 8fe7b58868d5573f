"""A form that is generated from an intent: one input for each field, with its type, limits and help.

Labels, limits and help come from the fields of the intent's model, and the reason why a mesh does not support
a field comes from the mesh's planner. An optional part is a checkbox that shows the inputs of the part. Lists
of parts, such as rules, and mappings, such as shares, have a row for each entry. Lists of words are one line
as in a file of intents; a mapping of any values is too, or the path of a YAML file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import ipywidgets as widgets
import yaml
from markupsafe import Markup
from pydantic.fields import FieldInfo

from meshkit.errors import BadInput
from meshkit.intent.base import Intent, Part
from meshkit.intent.document import load_values
from meshkit.kube import yaml_input
from meshkit.views.setup.rows import UNSET, FieldInput, PartFields, RowsInput

_NOTHING = "(not set)"
_LABEL = {"description_width": "190px"}


class IntentForm(widgets.VBox):  # type: ignore[misc]
    """Inputs for one intent. ``read`` returns the intent with the present values."""

    def __init__(
        self, intent: Intent, cannot: Mapping[str, str], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._model = type(intent)
        self._inputs: dict[str, FieldInput] = {}
        self._filling = False
        rows = []
        for name, field in self._model.model_fields.items():
            one = _input(name, field, getattr(intent, name), cannot)
            for widget in one.widgets():
                widget.observe(lambda _: None if self._filling else changed(), "value")
            self._inputs[name] = one
            rows.append(one.row())
        super().__init__(rows)
        self.add_class("mk-form")

    def read(self) -> Intent:
        """The intent. Raises ``BadInput`` with the name of an invalid field."""
        given = {name: one.read() for name, one in self._inputs.items()}
        return self._model(**{name: value for name, value in given.items() if value is not UNSET})

    def fill(self, intent: Intent) -> None:
        """Show another intent, without calling ``changed``."""
        self._filling = True
        for name, one in self._inputs.items():
            one.fill(getattr(intent, name))
        self._filling = False

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        for one in self._inputs.values():
            one.lock(locked)


def _input(name: str, field: FieldInfo, value: Any, cannot: Mapping[str, str]) -> FieldInput:
    """Create the input for the type of a field."""
    model, optional = _plain_type(field.annotation)
    if optional and _is_part(model):
        return _PartInput(name, field, model, value, cannot)
    if kind := _entry_type(model):
        reason = cannot.get(name, "")
        hint = _help(field.description or "", reason)
        keyed = get_origin(model) is Mapping
        rows = RowsInput(name, field, kind, _nested, hint, keyed=keyed, reason=reason)
        rows.fill(value)
        return rows
    return _Input(name, field, value, cannot)


def _nested(name: str, field: FieldInfo, value: Any) -> FieldInput:
    return _input(name, field, value, {})


def _entry_type(model: Any) -> type | None:
    """The type of the entries that have a row each; None for any other field.

    These are parts in a list, and parts, texts or percentages in a mapping.
    """
    origin, inner = get_origin(model), [_plain_type(each)[0] for each in get_args(model)]
    if origin is tuple and _is_part(inner[0]):
        return inner[0]  # type: ignore[no-any-return]
    if origin is Mapping and (inner[1] in (str, float) or _is_part(inner[1])):
        return inner[1]  # type: ignore[no-any-return]
    return None


def _is_part(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Part)


class _Input:
    """The input of one field: its widget, and the conversion between the values of widget and field."""

    def __init__(self, name: str, field: FieldInfo, value: Any, cannot: Mapping[str, str]) -> None:
        self.name, self._field = name, field
        self._type, self._optional = _plain_type(field.annotation)
        self._reason = cannot.get(name, "")
        self.barred = bool(self._reason)
        offered = (True, False) if self._type is bool else get_args(self._type)
        self._choices = [each for each in offered if f"{name}: {each}" not in cannot]
        self._lacking = {
            k.removeprefix(f"{name}: "): v for k, v in cannot.items() if k.startswith(f"{name}: ")
        }
        self.widget = self._widget()
        self.fill(value)
        self.widget.disabled = self.barred

    def row(self) -> widgets.Widget:
        """The input and its help below it."""
        words = [self._field.description or ""]
        words += [f"{choice}: {why}" for choice, why in self._lacking.items()]
        help_words = ". ".join(word.rstrip(".") for word in words if word)
        return widgets.VBox([self.widget, _help(help_words, self._reason)]).add_class("mk-form-row")

    def widgets(self) -> list[widgets.Widget]:
        """The widgets that the user can change."""
        return [self.widget]

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        self.widget.disabled = locked or self.barred

    def read(self) -> Any:
        """The value of the field; ``UNSET`` if the field's default applies."""
        value = self.widget.value
        if isinstance(self.widget, widgets.Checkbox | widgets.BoundedIntText):
            return value
        if isinstance(self.widget, widgets.Dropdown):
            return {str(choice): choice for choice in self._choices}.get(value)
        return self._parsed(value.strip())

    def fill(self, value: Any) -> None:
        """Show a value of the field."""
        if isinstance(self.widget, widgets.Dropdown):
            first = self.widget.options[0]
            self.widget.value = first if value is None else str(value)
        elif isinstance(self.widget, widgets.BoundedIntText):
            self.widget.value = self.widget.min if value is None else value
        elif isinstance(self.widget, widgets.Checkbox):
            self.widget.value = bool(value)
        else:
            self.widget.value = _written(value)

    def _widget(self) -> Any:
        label = {"description": self.name.replace("_", " "), "style": _LABEL}
        if self._type is bool and not self._optional:
            return widgets.Checkbox(indent=True, **label)
        if get_origin(self._type) is Literal or self._type is bool:
            options = [str(choice) for choice in self._choices]
            return widgets.Dropdown(options=[_NOTHING, *options] if self._optional else options, **label)
        if self._type is int and not self._optional:
            low, high = _limits(self._field)
            return widgets.BoundedIntText(min=low, max=high, **label)
        return widgets.Text(continuous_update=False, placeholder=_NOTHING if self._optional else "", **label)

    def _is_path(self, found: object) -> bool:
        """Whether the text for a mapping is the path of the file that holds it."""
        return isinstance(found, str) and get_origin(self._type) is dict

    def _parsed(self, text: str) -> Any:
        if not text:
            return None if self._optional else UNSET
        if self._type is str:
            return text
        try:
            found = yaml_input.load(text)
            return load_values(found) if self._is_path(found) else found
        except yaml.YAMLError as error:
            remedy = "Write it as in a YAML file: [a, b] or {key: value}."
            raise BadInput(self.name, f"{text!r} cannot be read.", remedy=remedy) from error


class _PartInput:
    """The input of an optional part: a checkbox, and the inputs of the part while it is checked."""

    def __init__(
        self, name: str, field: FieldInfo, model: type[Part], value: Part | None, cannot: Mapping[str, str]
    ) -> None:
        self.name, self._field = name, field
        self._reason = cannot.get(name, "")
        self.barred = bool(self._reason)
        self.widget = widgets.Checkbox(indent=True, description=name.replace("_", " "), style=_LABEL)
        self._part = PartFields(model, _nested)
        self.inputs = self._part.inputs
        self._box = widgets.VBox().add_class("mk-form-part")
        self.widget.observe(lambda _: self._open(), "value")
        self.fill(value)
        self.widget.disabled = self.barred

    def row(self) -> widgets.Widget:
        """The checkbox, its help and the inputs of the part."""
        hint = _help(self._field.description or "", self._reason)
        return widgets.VBox([self.widget, hint, self._box]).add_class("mk-form-row")

    def widgets(self) -> list[widgets.Widget]:
        """The widgets that the user can change."""
        return [self.widget, *(widget for one in self.inputs.values() for widget in one.widgets())]

    def lock(self, locked: bool) -> None:
        """Disable or enable input."""
        self.widget.disabled = locked or self.barred
        for one in self.inputs.values():
            one.lock(locked)

    def read(self) -> Any:
        """The fields of the part, None while it is not checked."""
        return self._part.read() if self.widget.value else None

    def fill(self, value: Part | None) -> None:
        """Show a part; for None its defaults, which the user sees on checking the box."""
        self._part.fill(value)
        self.widget.value = value is not None

    def _open(self) -> None:
        self._box.children = self._part.rows if self.widget.value else ()


def _help(words: str, reason: str) -> widgets.HTML:
    """The line below an input: its help, or the reason why it is disabled."""
    text = Markup('<span class="mk-warn">{}</span>').format(reason) if reason else words
    return widgets.HTML(Markup('<span class="mk-muted">{}</span>').format(text)).add_class("mk-form-help")


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """A field's type without ``Annotated`` and ``Optional``, and whether it may be None."""
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not NoneType]
        found, _ = _plain_type(inner[0])
        return (found if len(inner) == 1 else object), len(inner) < len(get_args(annotation))
    return annotation, False


def _limits(field: FieldInfo) -> tuple[int, int]:
    """The smallest and largest value of a field, by its constraints."""
    low = next((int(limit.ge) for limit in field.metadata if hasattr(limit, "ge")), 0)
    high = next((int(limit.le) for limit in field.metadata if hasattr(limit, "le")), 2**31 - 1)
    return low, high


def _written(value: Any) -> str:
    """A value as one line of YAML; empty for None and for an empty value."""
    plain = _plain(value)
    if plain is None or plain == []:
        return ""
    if isinstance(plain, str):
        return plain
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    """Parts as mappings with the fields that are set, tuples as lists."""
    if isinstance(value, Part):
        return value.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
