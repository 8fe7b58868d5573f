"""The requests that a release chooses by their headers or cookies, whatever the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from meshkit.intent.base import At, Part
from meshkit.intent.rules import HeaderValues

_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")
COOKIE = "cookie"
"""The header with the cookies of a request."""


def _cookies(cookies: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in cookies.items():
        if not _COOKIE_NAME.fullmatch(name):
            raise At((name,), f"{name!r} is not the name of a cookie")
        if not _COOKIE_VALUE.fullmatch(value):
            raise At((name,), f"{value!r} is not the value of a cookie")
    return cookies


class Cohort(Part):
    """Requests with certain headers and cookies: a request belongs to it if it has all of them."""

    headers: HeaderValues = Field(
        default_factory=dict,
        description="headers with their exact values",
        examples=[{"x-tester": "yes"}],
    )
    cookies: Annotated[Mapping[str, str], AfterValidator(_cookies)] = Field(
        default_factory=dict,
        max_length=1,
        description="one cookie with its exact value",
        examples=[{"group": "b"}],
    )

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.headers and not self.cookies:
            raise At((), "it chooses every request: name a header or a cookie")
        for name, value in self.headers.items():
            if not value:
                raise At(("headers", name), "its value is empty")
            if name.lower() == COOKIE:
                raise At(("headers", name), "name cookies under cookies")
        return self

    def __str__(self) -> str:
        headers = [f"{name}: {value}" for name, value in self.headers.items()]
        return " and ".join([*headers, *(f"cookie {name}={value}" for name, value in self.cookies.items())])

    @property
    def cookie_pattern(self) -> str | None:
        """A regular expression (RE2) for the whole header with the cookies; None without a cookie."""
        for name, value in self.cookies.items():
            return f"(.*; *)?{re.escape(name)}={re.escape(value)}( *;.*)?"
        return None
