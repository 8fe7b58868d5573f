"""A parsed API request with its user, target object, parameters and body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from meshkit.sandbox.api import offload, status
from meshkit.sandbox.api.auth.users import User
from meshkit.sandbox.api.http import idle, negotiation
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
_MAX_TIMEOUT_S = 10**9
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_OPTIONS = {"POST": "Create", "PATCH": "Patch", "DELETE": "Delete"}


@dataclass
class Call:
    """Represent one parsed request to a resource.

    ``has_large_body`` and ``duplicates`` (sentences about keys that a map has more than once) are set once
    the body has been read.
    """

    request: web.Request
    user: User
    resource: Resource
    route: Route
    has_large_body: bool = False
    duplicates: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Return the object that the request addresses, or with an empty name the collection."""
        return Target(self.resource, self.route.namespace or "", self.route.name, self.route.subresource)

    @property
    def query(self) -> Mapping[str, str]:
        """Return the query parameters."""
        return self.request.query

    def options(self) -> Options:
        """Return the write options from the query parameters.

        Read the body first, because the options include whether it is large.
        """
        validation = self.query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            supported = '"", "Ignore", "Strict", "Warn"'
            raise status.unsupported_option(
                self.options_kind, "fieldValidation", f'"{validation}"', supported
            )
        duplicates = self._reported_duplicates(validation)
        return Options(
            self.user,
            self._manager(),
            self._dry_run(),
            validation,
            self.query.get("force") == "true",
            self.has_large_body,
            duplicates,
        )

    def _reported_duplicates(self, validation: str) -> list[str]:
        """Return the warnings about duplicate keys. Raises ApiError when they are not allowed."""
        if validation == "Ignore" or not self.duplicates:
            return []
        if validation == "Strict":
            is_yaml, kind = self.media_type in negotiation.YAML, self.resource.kind
            found = ", ".join(self.duplicates)
            if is_yaml:
                found = "yaml: unmarshal errors:\n" + "\n".join(f"  {each}" for each in self.duplicates)
            if self.media_type == negotiation.APPLY:
                raise status.bad_request(
                    f"error strict decoding patch: error converting YAML to JSON: {found}"
                )
            if self.request.method == "PATCH":
                cause = status.Cause("patch", "FieldValueInvalid", f"strict decoding error: {found}")
                raise status.invalid("", "", "", [cause])
            where = f'{kind} in version "{self.resource.version}" cannot be handled as a {kind}: '
            raise status.bad_request(f"{'' if self.resource.custom else where}strict decoding error: {found}")
        return list(self.duplicates)

    def _manager(self) -> str:
        """Return the field manager from the query, or else the client's name from the User-Agent header."""
        named = self.query.get("fieldManager", "")
        wrong = ""
        if len(named.encode(errors="replace")) > _MAX_MANAGER_BYTES:
            wrong = f"Too long: may not be more than {_MAX_MANAGER_BYTES} bytes"
        elif not named.isprintable():
            index, odd = next((at, char) for at, char in enumerate(named) if not char.isprintable())
            place = len(named[:index].encode(errors="replace"))
            why = f"invalid character U+{ord(odd):04X} (at position {place})"
            wrong = f"Invalid value: {json.dumps(named)}: {why}"
        if wrong:
            reason = "FieldValueTooLong" if wrong.startswith("Too") else "FieldValueInvalid"
            raise status.invalid(
                self.options_kind, "meta.k8s.io", "", [status.Cause("fieldManager", reason, wrong)]
            )
        agent = self.request.headers.get("User-Agent", "").partition("/")[0]
        product = "".join(letter for letter in agent if letter.isprintable())
        return named or product[:_MAX_MANAGER_BYTES] or "unknown"

    @property
    def options_kind(self) -> str:
        """Return the options kind that Kubernetes decodes this request's query parameters into."""
        return f"{_OPTIONS.get(self.request.method, 'Update')}Options"

    def _dry_run(self) -> bool:
        dry_run = self.query.get("dryRun", "")
        if dry_run not in ("", "All"):
            raise status.unsupported_option(self.options_kind, "dryRun", f'["{dry_run}"]', '"All"')
        return dry_run == "All"

    @property
    def media_type(self) -> str:
        """Return the media type of the body."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip()

    @property
    def is_watch(self) -> bool:
        """Return whether the request is a watch."""
        return asks_for_watch(self.query)

    def patch_kind(self) -> PatchType:
        """Return the patch type of the Content-Type. Raises ApiError 415."""
        if self.media_type not in negotiation.patches(custom=self.resource.custom):
            raise negotiation.unsupported_patch(custom=self.resource.custom)
        return cast(PatchType, negotiation.PATCHES[self.media_type])

    def configuration(self, body: Any) -> dict[str, Any]:
        """Return the body of a server-side apply.

        Raises ApiError 422 without a field manager, and 400 when the body is not an object.
        """
        if not self.query.get("fieldManager"):
            cause = status.required("fieldManager", "Required value: is required for apply patch")
            raise status.invalid("PatchOptions", "meta.k8s.io", "", [cause])
        if not isinstance(body, dict):
            raise status.bad_request("the body of an apply request must be an object")
        return body

    def form(self) -> Form:
        """Return the negotiated format of the response. Raises ApiError 406."""
        return negotiation.wanted(self.request.headers.get("Accept", ""))

    def selector(self) -> Matcher:
        """Return the matcher of the label and field selectors. Raises ApiError 400."""
        return selectors.query(self.query.get("labelSelector"), self.query.get("fieldSelector"))

    def watch_query(self) -> WatchQuery:
        """Return the parameters of a watch. Raises ApiError 400 when its timeout is no number."""
        initial = self.query.get("sendInitialEvents")
        return WatchQuery(
            self.query.get("resourceVersion", ""),
            None if initial is None else initial in _TRUE,
            self.query.get("resourceVersionMatch", ""),
            self.query.get("allowWatchBookmarks") in _TRUE,
            float(min(number(self.query, "timeoutSeconds"), _MAX_TIMEOUT_S)) or None,
        )

    async def body(self) -> Any:
        """Return the decoded body. Raises ApiError 400, 413 or 415."""
        return await self._decoded(await self._read())

    async def delete_options(self) -> DeleteOptions:
        """Return the options of a DELETE from the body, or else from the query."""
        raw = await self._read()
        body = await self._decoded(raw) if raw else {}
        return deletion_asked(options_body("DeleteOptions", _DELETE_OPTIONS, body), self.query)

    async def _read(self) -> bytes:
        if (self.request.content_length or 0) > bodies.MAX_BYTES:
            raise bodies.too_many_bytes()
        return await read_body(self.request)

    async def _decoded(self, raw: bytes) -> Any:
        is_yaml = self.media_type in negotiation.YAML and raw.lstrip()[:1] != b"{"
        self.has_large_body = bodies.is_large(raw, yaml=is_yaml)
        self.duplicates.clear()
        decoded = await offload.run(
            self.has_large_body, negotiation.body, self.media_type, raw, self.duplicates
        )
        if self.media_type == "application/json-patch+json":
            self.duplicates[:] = [f"json patch {each}" for each in self.duplicates]
        return decoded


async def read_body(request: web.Request) -> bytes:
    """Return the whole body. Raises ApiError 504 when it does not arrive in time."""
    try:
        async with asyncio.timeout(idle.BODY_S):
            return await request.read()
    except TimeoutError:
        why = "Timeout: request did not complete within the requested timeout - the body did not arrive"
        raise status.ApiError(504, "Timeout", why) from None


def asks_for_watch(query: Mapping[str, str]) -> bool:
    """Return whether the query parameters request a watch."""
    return query.get("watch") in _TRUE


def number(query: Mapping[str, str], name: str) -> int:
    """Return a query parameter as an integer, 0 when absent. Raises ApiError 400."""
    given = query.get(name, "")
    try:
        value = int(given or 0)
    except ValueError as error:
        raise status.bad_request(f'strconv.ParseInt: parsing "{given}": invalid syntax') from error
    if not -(1 << 63) <= value < 1 << 63:
        raise status.bad_request(f'strconv.ParseInt: parsing "{given}": value out of range')
    return value


def deletion_asked(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """Return the DeleteOptions from a body, or else from the query."""
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
    """Return a 405 error."""
    return status.ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )
