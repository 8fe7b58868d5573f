"""The base class of all intents: frozen models that reject unknown fields and name the field in errors.

pydantic reports all errors at once, each with a location tuple. Users fix one at a time, so one error becomes
a ``BadInput`` whose field has the form of the user's code (``route.versions[0].name``) and whose remedy is
the description of the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from meshkit.errors import BadInput, UnknownName

Location = tuple[int | str, ...]

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_name(text: str) -> bool:
    """Whether a text is a DNS label (RFC 1123)."""
    return _DNS_LABEL.fullmatch(text) is not None


def _dns_label(name: str) -> str:
    if not is_name(name):
        raise ValueError(
            f"{name!r} is not a Kubernetes name (lower case letters, digits and '-', at most 63)"
        )
    return name


Name = Annotated[str, AfterValidator(_dns_label)]
"""A DNS label (RFC 1123), as Kubernetes requires for names of Namespaces and Services."""


class Part(BaseModel):
    """A part of an intent. It is frozen; an unknown field or invalid value raises ``BadInput``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise bad_input(type(self), error) from error

    # pydantic then builds nested parts without calling this __init__, and one error holds the whole location.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Intent(Part):
    """The base class of intents, which ``mk.plan`` accepts."""


class At(ValueError):
    """A validation error at a location in the validated field: ``At((2,), ...)`` on steps is ``steps[2]``."""

    def __init__(self, place: Location, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def kind(model: type[Part]) -> str:
    """The name of an intent in messages: ``mutual_tls`` for ``MutualTLS``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__).lower()


def bad_input(model: type[Part], error: ValidationError) -> BadInput:
    """Convert the most specific error of a validation to ``BadInput``."""
    first = telling(error)
    location = place(first)
    if first["type"] == "extra_forbidden":
        owner = _part_at(model, location[:-1])
        return UnknownName(path(model, location[:-1]), str(location[-1]), owner.model_fields if owner else ())
    if first["type"] == "missing":
        return BadInput(path(model, location), "is missing.", remedy=_expected(model, location))
    return BadInput(path(model, location), f"{_problem(first)}.", remedy=_expected(model, location))


def place(error: ErrorDetails) -> Location:
    """The location of an error: pydantic's, extended by the location that an ``At`` error has."""
    cause = error.get("ctx", {}).get("error")
    return (*error["loc"], *cause.place) if isinstance(cause, At) else error["loc"]


def telling(error: ValidationError) -> ErrorDetails:
    """Select the error to show: an unknown field before a missing one, as one misspelt name causes both."""
    errors = error.errors(include_url=False)
    return next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])


def _problem(error: ErrorDetails) -> str:
    """pydantic's message with the value included: "'x' should be a valid integer"."""
    message, value = error["msg"].removeprefix("Value error, "), error["input"]
    shown = (
        repr(value[:80] if isinstance(value, str) else value)
        if isinstance(value, str | int | float)
        else "it"
    )
    return re.sub(r"^(Input|String|Tuple) should", lambda _: f"{shown} should", message)


def path(model: type[Part], location: Sequence[int | str]) -> str:
    """Format a location: ``release.steps[2]``."""
    return kind(model) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)


def _expected(model: type[Part], location: Location) -> str:
    """The description of the innermost field of a location that has a description, as a sentence."""
    found = ""
    for end in range(1, len(location) + 1):
        owner, last = _part_at(model, location[: end - 1]), location[end - 1]
        if owner and isinstance(last, str) and last in owner.model_fields:
            found = owner.model_fields[last].description or found
    return f"Expected: {found}." if found else "Correct it; nothing was changed."


def _part_at(model: type[Part], location: Sequence[int | str]) -> type[Part] | None:
    """The model at a location, or None if the location is in plain data."""
    for step in location:
        if isinstance(step, str):
            if step not in model.model_fields:
                return None
            inner = part_in(model.model_fields[step].annotation)
            if inner is None:
                return None
            model = inner
    return model


def part_in(annotation: Any) -> type[Part] | None:
    """The model in a field's annotation, or None: ``Version`` in ``tuple[Version, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((found for arg in get_args(annotation) if (found := part_in(arg))), None)


def labels_or(default: Mapping[str, str], labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return the given labels, or the default."""
    return dict(default if labels is None else labels)
