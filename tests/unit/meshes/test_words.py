"""Every field of the model of outbound traffic that changes requests is told in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from meshkit.meshes.model import words
from meshkit.meshes.model.outbound import (
    Backend,
    Balancing,
    Cluster,
    Cors,
    DirectResponse,
    Fault,
    HashKey,
    HeaderEdits,
    Keepalive,
    Limits,
    Locality,
    Match,
    Mirror,
    NamedMatch,
    OriginTLS,
    Outlier,
    Redirect,
    Retry,
    Rewrite,
    Route,
    StringMatch,
)

EDITS = HeaderEdits((("x-a", "1"),), (("x-b", "2"),), ("x-c",), "a.example")
FORWARDS = Route(
    "",
    (),
    rewrite=Rewrite("/a"),
    mirrors=(Mirror("outbound|80||a", 5.0),),
    cors=Cors((StringMatch("exact", "a"),), ("PUT",), ("x-a",), ("x-b",), 9, True, False),
    timeout_s=1.0,
    retry=Retry(2, ("5xx",), (418,), 1.0, 0.5, False, True),
    fault=Fault(1.0, 10.0, 503, 10.0),
    request_headers=EDITS,
    response_headers=EDITS,
    hash_keys=(HashKey("cookie", "s", "/a", 9.0, (("SameSite", "Lax"),)),),
)
MATCH = Match(
    StringMatch("prefix", "/a"),
    StringMatch("exact", "GET"),
    (NamedMatch("x-a", StringMatch("exact", "1", ignore_case=True), invert=True),),
    (NamedMatch("page", StringMatch("regex", "[0-9]+")),),
)
CLUSTER = Cluster(
    "",
    (),
    protocol="http2",
    balancing=Balancing("RING_HASH", 7, 1.0, 11.0, 2.0, ((Locality("eu", "a", "x"), 3),)),
    limits=Limits(1, 2, 3, 4, 5, 6, 7.0, 8.0, 9.0, Keepalive(1, 2, 3), (1.0, 2.0), (3.0, 4)),
    outlier=Outlier(6, 7, 8.0, 9.0, 10.0, 11, 12, split_local_origin=True, consecutive_local_origin=13),
)
NAMES = {"name", "owner", "source"}
ELSEWHERE = {
    Route: NAMES | {"matches", "backends", "redirect", "direct"},
    Cluster: NAMES | {"endpoints", "identities", "tls", "as_asked"},
    Backend: {"cluster", "weight"},
    HeaderEdits: {"literal"},
    DirectResponse: {"encoded"},
}
"""The fields that decide nothing or are the same in all of a mesh, and those that other functions tell."""


def changed(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The value with one field changed, for each field below it, with the field's path."""
    if is_dataclass(value):
        for each in fields(value):
            if each.name not in ELSEWHERE.get(type(value), ()):
                for path, other in changed(getattr(value, each.name), f"{where}.{each.name}"):
                    yield path, replace(value, **{each.name: other})  # type: ignore[type-var]
    elif isinstance(value, tuple) and value:
        for at, item in enumerate(value):
            for path, other in changed(item, f"{where}[{at}]"):
                yield path, (*value[:at], other, *value[at + 1 :])
        yield f"{where} without its last", value[:-1] if len(value) == 1 else (*value[:-1], value[-1])
    elif isinstance(value, bool):
        yield where, not value
    elif isinstance(value, int | float):
        yield where, value + 1
        if isinstance(value, float):
            yield f"{where} by a little", value + 1e-6
    elif where.endswith(".kind"):
        yield where, "suffix"
    elif isinstance(value, str):
        yield where, f"{value}z" if value else "z"


def cases(value: Any, told: Any, *ignored: str) -> list[Any]:
    """A case for each changed field but those that another field of this value replaces."""
    return [
        pytest.param(value, other, told, id=f"{type(value).__name__}{path}")
        for path, other in changed(value)
        if other != value and path not in ignored
    ]


def redirected(to: Redirect) -> str:
    return words.answer(Route("", (), redirect=to))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        *cases(FORWARDS, words.actions),
        *cases(replace(FORWARDS, rewrite=Rewrite(regex=("a", "b"))), words.actions),
        *cases(replace(FORWARDS, fault=Fault(1, 2, 0, 5, 0)), words.actions, ".fault.abort_status"),
        *cases(Backend(None, 1, EDITS, EDITS), words.edits_of),
        *cases(MATCH, words.conditions),
        *cases(CLUSTER, words.settings),
        *cases(Redirect(301, "https", "a.example", 8080, "/x"), redirected, ".prefix"),
        *cases(Redirect(prefix="/x"), redirected),
        *cases(OriginTLS("a", "ca", "crt", "key", ("b",)), words.server_tls),
    ],
)
def test_a_changed_field_is_told(before: Any, after: Any, told: Any) -> None:
    assert told(before) != told(after)
