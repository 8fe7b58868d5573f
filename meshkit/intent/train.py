"""The intent to release several services together: a train of releases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator

from meshkit.intent.base import At, Intent, Name
from meshkit.intent.release import Release

_VERSIONS = {"port": 8080, "stable": "v1", "canary": "v2"}
_EXAMPLE = [
    {"name": f"{service}-v2", "namespace": "shop", "service": service, **_VERSIONS}
    for service in ("stock", "web")
]


class ReleaseTrain(Intent):
    """Several releases that go together: each step in order, promoted by all, or given back by all."""

    name: Name = Field(
        description="the name of the train, such as 'shop-v2', other than that of any release",
        examples=["shop-v2"],
    )
    releases: tuple[Release, ...] = Field(
        min_length=2,
        description="the releases of the train, at least two, of different services and with the same "
        "shares. Each step is taken in this order, and given back in the reverse one: list a service before "
        "those that call it",
        examples=[_EXAMPLE],
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the releases, in order."""
        return tuple(release.name for release in self.releases)

    @model_validator(mode="after")
    def _names_are_different(self) -> Self:
        _different("name", [(self.name, "the train"), *((name, "another release") for name in self.names)])
        return self

    @model_validator(mode="after")
    def _services_are_different(self) -> Self:
        _different(
            "service",
            [(f"{each.namespace}/{each.service}", "another release") for each in self.releases],
            offset=0,
        )
        return self

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        first = self.releases[0]
        for number, release in enumerate(self.releases):
            if release.ladder != first.ladder:
                shares = ", ".join(f"{share:g}" for share in release.ladder)
                others = ", ".join(f"{share:g}" for share in first.ladder)
                problem = f"its shares are {shares} %, those of {first.name} {others} %"
                raise At(("releases", number, "steps"), problem)
            if release.on_harm == "freeze":
                problem = "a train gives all of its releases back together, so none of them can freeze"
                raise At(("releases", number, "on_harm"), problem)
        return self


def _different(field: str, used: Iterable[tuple[str, str]], *, offset: int = 1) -> None:
    """Raise for the first value that is used twice; the releases begin at ``offset``."""
    seen: dict[str, str] = {}
    for number, (value, whose) in enumerate(used):
        if value in seen:
            raise At(("releases", number - offset, field), f"{value!r} is that of {seen[value]}")
        seen[value] = whose
