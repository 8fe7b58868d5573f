"""HTTP responses with objects, lists and watch events in the negotiated format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web

from meshkit.sandbox.api.http import tables
from meshkit.sandbox.api.http.call import Call
from meshkit.sandbox.api.requests import Object, Options
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage.reads import Notice, Page
from meshkit.sandbox.api.storage.store import Stored

_MAX_WARNING_CHARACTERS = 4 * 1024  # of k8s.io/apiserver endpoints/filters/warning.go
_CUT_WARNING_CHARACTERS = 256
_GZIP_FROM_BYTES = 128 * 1024  # the threshold of kube-apiserver


def one_object(call: Call, obj: Object, options: Options | None, code: int = 200) -> web.Response:
    """Return the response for one object, with the warnings of its write."""
    form = call.form()
    document = versioned(call.resource, obj)
    if form.kind == "Table":
        rows = [tables.row(call.resource, document, call.query.get("includeObject", "Metadata"))]
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        document = tables.table(call.resource, rows, metadata, columns=True)
    elif form.kind == "PartialObjectMetadata":
        document = tables.partial(document)
    response = as_json(call.request, document, code=code)
    for warning in _sendable(options.warnings if options else ()):
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response


def _sendable(warnings: Iterable[str]) -> Iterator[str]:
    """Yield the warnings that fit into the response headers.

    Like kube-apiserver, truncates every warning when their total length exceeds the limit.
    """
    texts = [text for text in dict.fromkeys(warnings) if text.isprintable()]
    remaining = _MAX_WARNING_CHARACTERS
    if sum(map(len, texts)) > remaining:
        texts = [text[:_CUT_WARNING_CHARACTERS] for text in texts]
    for text in texts:
        if len(text) > remaining:
            return
        remaining -= len(text)
        yield text


def list_page(call: Call, page: Page) -> web.Response:
    """Return the response for one page of a list."""
    resource = call.resource
    metadata: dict[str, Any] = {"resourceVersion": str(page.rv)}
    if page.proceed:
        metadata |= {"continue": page.proceed, "remainingItemCount": page.remaining}
    form = call.form()
    if form.kind == "Table":
        include = call.query.get("includeObject", "Metadata")
        rows = (tables.row(resource, in_version(resource, stored), include) for stored in page.items)
        return as_json(call.request, tables.table(resource, rows, metadata, columns=True))
    if form.kind == "PartialObjectMetadataList":
        items = [tables.partial(stored.object) for stored in page.items]
        head = {"kind": form.kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return as_json(call.request, head | {"items": items})
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
    bodies = b",".join(encoded(resource, stored) for stored in page.items)
    return as_bytes(call.request, json.dumps(head).encode()[:-1] + b',"items":[' + bodies + b"]}")


class WatchLines:
    """Encode the events of one watch in the negotiated format.

    Only the first event of a Table watch contains the columns.
    """

    def __init__(self, call: Call) -> None:
        self._resource = call.resource
        self._form = call.form()
        self._include = call.query.get("includeObject", "Metadata")
        self._columns = True

    def line(self, notice: Notice) -> bytes:
        """Return one event as a line with its newline."""
        return b'{"type":"' + notice.type.encode() + b'","object":' + self._object(notice) + b"}\n"

    def _object(self, notice: Notice) -> bytes:
        if notice.stored is None:
            message = notice.message or {}
            if notice.type == "BOOKMARK" and self._form.kind == "Table":
                message = self._table([], message["metadata"])
            return json.dumps(message).encode()
        if self._form.kind == "Table":
            obj = in_version(self._resource, notice.stored)
            metadata = {"resourceVersion": str(notice.stored.rv)}
            return json.dumps(
                self._table([tables.row(self._resource, obj, self._include)], metadata)
            ).encode()
        if self._form.kind.startswith("PartialObjectMetadata"):
            return json.dumps(tables.partial(notice.stored.object)).encode()
        return encoded(self._resource, notice.stored)

    def _table(self, rows: list[dict[str, Any]], metadata: Mapping[str, Any]) -> dict[str, Any]:
        columns, self._columns = self._columns, False
        return tables.table(self._resource, rows, metadata, columns=columns)


def in_version(resource: Resource, stored: Stored) -> Mapping[str, Any]:
    """Return a stored object in the requested version."""
    return versioned(resource, stored.object)


def versioned(resource: Resource, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object in the requested version.

    Conversion changes the apiVersion only.
    """
    return {**obj, "apiVersion": resource.api_version}


def encoded(resource: Resource, stored: Stored) -> bytes:
    """Return the encoded object, reusing the stored bytes when the version is the same."""
    if resource.api_version == resource.stored_api_version:
        return stored.body
    return json.dumps(in_version(resource, stored)).encode()


def refusal(request: web.Request, error: ApiError) -> web.Response:
    """Return the response for an error, with a Retry-After header when the error names a delay."""
    response = as_json(request, error.status(), code=error.code)
    retry_after_s = error.details.get("retryAfterSeconds")
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def as_json(
    request: web.Request, obj: Mapping[str, Any], *, code: int = 200, content_type: str = "application/json"
) -> web.Response:
    """Return a JSON response; quoted bytes of a header that are no text become question marks."""
    raw = json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    return as_bytes(request, raw, code=code, content_type=content_type)


def as_bytes(
    request: web.Request, raw: bytes, *, code: int = 200, content_type: str = "application/json"
) -> web.Response:
    """Return a response from encoded JSON, compressed when it is large."""
    headers = {"Content-Type": content_type}
    if len(raw) >= _GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        raw = gzip.compress(raw, 1)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=raw, status=code, headers=headers)
