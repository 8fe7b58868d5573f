"""One request to a resource, understood: who, which object, and what its parameters and body say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from meshkit.sandbox.api import offload, status
from meshkit.sandbox.api.auth.users import User
from meshkit.sandbox.api.http import negotiation
from meshkit.sandbox.api.http.negotiation import Form
from meshkit.sandbox.api.http.routes import Route
from meshkit.sandbox.api.requests import DeleteOptions, Options, PatchType, Target
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.decoding import options_body
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage import selectors
from meshkit.sandbox.api.storage.reads import WatchQuery
from meshkit.sandbox.api.storage.selectors import Matcher

_TRUE = ("true", "1")
_MAX_MANAGER_BYTES = 128
_MAX_TIMEOUT_DIGITS = 9
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_OPTIONS = {"POST": "Create", "PATCH": "Patch", "DELETE": "Delete"}


@dataclass
class Call:
    """One request to a resource, understood. Whether its body is large is known once that has been read."""

    request: web.Request
    user: User
    resource: Resource
    route: Route
    has_large_body: bool = False

    @property
    def target(self) -> Target:
        """The object (or, with an empty name, the collection) that it is about."""
        return Target(self.resource, self.route.namespace or "", self.route.name, self.route.subresource)

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        return self.request.query

    def options(self) -> Options:
        """How a write is meant. Read the body first: the options say whether it is large."""
        validation = self.query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            supported = '"", "Ignore", "Strict", "Warn"'
            raise status.unsupported_option(
                self.options_kind, "fieldValidation", f'"{validation}"', supported
            )
        return Options(
            self.user,
            self._manager(),
            self._dry_run(),
            validation,
            self.query.get("force") == "true",
            self.has_large_body,
        )

    def _manager(self) -> str:
        """The field manager that is named, else what the client calls itself."""
        named = self.query.get("fieldManager", "")
        wrong = ""
        if len(named.encode(errors="replace")) > _MAX_MANAGER_BYTES:
            wrong = f"Too long: may not be more than {_MAX_MANAGER_BYTES} bytes"
        elif not named.isprintable():
            index, odd = next((at, each) for at, each in enumerate(named) if not each.isprintable())
            place = len(named[:index].encode(errors="replace"))
            why = f"invalid character U+{ord(odd):04X} (at position {place})"
            wrong = f"Invalid value: {json.dumps(named)}: {why}"
        if wrong:
            reason = "FieldValueTooLong" if wrong.startswith("Too") else "FieldValueInvalid"
            raise status.invalid(
                self.options_kind, "meta.k8s.io", "", [status.Cause("fieldManager", reason, wrong)]
            )
        agent = self.request.headers.get("User-Agent", "").partition("/")[0]
        told = "".join(letter for letter in agent if letter.isprintable())
        return named or told[:_MAX_MANAGER_BYTES] or "unknown"

    @property
    def options_kind(self) -> str:
        """The kind that Kubernetes reads the query parameters of this request into."""
        return f"{_OPTIONS.get(self.request.method, 'Update')}Options"

    def _dry_run(self) -> bool:
        asked = self.query.get("dryRun", "")
        if asked not in ("", "All"):
            raise status.unsupported_option(self.options_kind, "dryRun", f'["{asked}"]', '"All"')
        return asked == "All"

    @property
    def media_type(self) -> str:
        """What the body is."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip()

    @property
    def is_watch(self) -> bool:
        """Whether a list is asked to go on."""
        return asks_for_watch(self.query)

    def patch_kind(self) -> PatchType:
        """Which patch the Content-Type announces. Raises ApiError 415."""
        if self.media_type not in negotiation.patches(custom=self.resource.custom):
            raise negotiation.unsupported_patch(custom=self.resource.custom)
        return cast(PatchType, negotiation.PATCHES[self.media_type])

    def configuration(self, body: Any) -> dict[str, Any]:
        """The body of a server-side apply. Raises ApiError 422 without a field manager, 400 for no object."""
        if not self.query.get("fieldManager"):
            cause = status.required("fieldManager", "Required value: is required for apply patch")
            raise status.invalid("PatchOptions", "meta.k8s.io", "", [cause])
        if not isinstance(body, dict):
            raise status.bad_request("the body of an apply is an object")
        return body

    def form(self) -> Form:
        """The form of the answer. Raises ApiError 406."""
        return negotiation.wanted(self.request.headers.get("Accept", ""))

    def selector(self) -> Matcher:
        """Which objects of a collection are meant. Raises ApiError 400."""
        return selectors.query(self.query.get("labelSelector"), self.query.get("fieldSelector"))

    def watch_query(self) -> WatchQuery:
        """The parameters of a watch."""
        initial = self.query.get("sendInitialEvents")
        return WatchQuery(
            self.query.get("resourceVersion", ""),
            None if initial is None else initial in _TRUE,
            self.query.get("resourceVersionMatch", ""),
            self.query.get("allowWatchBookmarks") in _TRUE,
            _seconds(self.query.get("timeoutSeconds", "")),
        )

    async def body(self) -> Any:
        """The decoded body. Raises ApiError 400, 413 or 415."""
        return await self._decoded(await self._read())

    async def delete_options(self) -> DeleteOptions:
        """How a DELETE is meant: from the body, else from the query."""
        raw = await self._read()
        body = await self._decoded(raw) if raw else {}
        return deletion_asked(options_body("DeleteOptions", _DELETE_OPTIONS, body), self.query)

    async def _read(self) -> bytes:
        if (self.request.content_length or 0) > bodies.MAX_BYTES:
            raise bodies.too_many_bytes()
        return await self.request.read()

    async def _decoded(self, raw: bytes) -> Any:
        is_yaml = self.media_type in negotiation.YAML and raw.lstrip()[:1] != b"{"
        self.has_large_body = bodies.is_large(raw, yaml=is_yaml)
        return await offload.run(self.has_large_body, negotiation.body, self.media_type, raw)


def asks_for_watch(query: Mapping[str, str]) -> bool:
    """Whether a list is asked to go on."""
    return query.get("watch") in _TRUE


def number(query: Mapping[str, str], name: str) -> int:
    """A query parameter that is a number; 0 where it is not given. Raises ApiError 400."""
    given = query.get(name, "")
    try:
        found = int(given or 0)
    except ValueError as error:
        raise status.bad_request(f'strconv.ParseInt: parsing "{given}": invalid syntax') from error
    if not -(1 << 63) <= found < 1 << 63:
        raise status.bad_request(f'strconv.ParseInt: parsing "{given}": value out of range')
    return found


def _seconds(given: str) -> float | None:
    """A time that is given in whole seconds; None for none."""
    return float(given[:_MAX_TIMEOUT_DIGITS]) or None if given.isdecimal() else None


def deletion_asked(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """What DeleteOptions in a body, or else the query, ask for."""
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds"):
        grace = number(query, "gracePeriodSeconds")
    conditions = body.get("preconditions") or {}
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy")
    if body.get("orphanDependents") or query.get("orphanDependents") == "true":
        propagation = "Orphan"
    return DeleteOptions(
        None if grace is None else int(grace),
        propagation,
        conditions.get("uid"),
        conditions.get("resourceVersion"),
    )


def method_not_allowed() -> status.ApiError:
    """405."""
    return status.ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )
