"""Translate Istio's HTTPRoute except its destinations: rewrite, redirect, faults, retries, headers, CORS."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from meshkit.meshes.istio.meaning.matches import text_match
from meshkit.meshes.model.durations import duration_s, percent
from meshkit.meshes.model.grpc import STATUSES
from meshkit.meshes.model.outbound import (
    Cors,
    DirectResponse,
    Fault,
    HeaderEdits,
    Redirect,
    Retry,
    Rewrite,
    StringMatch,
)

Json = Mapping[str, Any]
# istio/pilot/pkg/networking/core/route/retry: the policy of a route that names none.
DEFAULT_RETRY = Retry(
    attempts=2,
    retry_on=("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"),
)
REDIRECT_CODES = (301, 302, 303, 307, 308)


def retry_of(written: Json | None, *, hashed: bool) -> Retry | None:
    """The retries of a route; none written are the mesh's, and those two by default.

    A consistent hash keeps to its host (``hashed``) unless the route says otherwise.
    """
    if written is None:
        return Retry(2, DEFAULT_RETRY.retry_on, avoid_previous_hosts=not hashed)
    attempts = int(written.get("attempts") or 0)
    if attempts <= 0:
        return None
    conditions = [part.strip() for part in str(written.get("retryOn") or "").split(",") if part.strip()]
    statuses = [part for part in conditions if part.isdigit() and int(part) in _KNOWN_STATUSES]
    return Retry(
        attempts=attempts,
        retry_on=tuple(part for part in conditions if part not in statuses)
        if conditions
        else DEFAULT_RETRY.retry_on,
        statuses=tuple(int(part) for part in statuses),
        per_try_timeout_s=duration_s(written.get("perTryTimeout")),
        backoff_s=duration_s(written.get("backoff")) or DEFAULT_RETRY.backoff_s,
        avoid_previous_hosts=bool(written.get("retryIgnorePreviousHosts", not hashed)),
        other_localities=bool(written.get("retryRemoteLocalities")),
    )


_KNOWN_STATUSES = frozenset(status.value for status in http.HTTPStatus)


def fault_of(written: Json | None) -> Fault | None:
    """Delays and aborts. An abort without a share hits no request, a delay's old ``percent`` still counts."""
    if not written:
        return None
    delay, abort = written.get("delay") or {}, written.get("abort") or {}
    grpc = abort.get("grpcStatus")
    return Fault(
        delay_s=duration_s(delay.get("fixedDelay")) or 0.0,
        delay_percent=percent(delay) if delay.get("percentage") else float(delay.get("percent") or 0),
        abort_status=int(abort.get("httpStatus") or 0),
        abort_percent=percent(abort),
        abort_grpc_status=STATUSES.index(grpc) if grpc in STATUSES else None,
    )


def faults_ignored(written: Json | None) -> list[str]:
    """The fields of a fault that have no effect in Istio."""
    delay, abort = (written or {}).get("delay") or {}, (written or {}).get("abort") or {}
    named = [f"delay.{name}" for name in delay if name not in ("fixedDelay", "percentage", "percent")]
    named += [f"abort.{name}" for name in abort if name not in ("httpStatus", "grpcStatus", "percentage")]
    grpc = abort.get("grpcStatus")
    return [*named, *([f"abort.grpcStatus: {grpc}"] if grpc and grpc not in STATUSES else [])]


def header_edits(written: Json | None, *, request: bool = True) -> HeaderEdits:
    """Header changes. ``host`` and names with a colon cannot be changed; a request's host is rewritten."""
    edits = written or {}
    authority = ""
    for kind in ("add", "set"):
        for name, value in (edits.get(kind) or {}).items():
            if request and name.lower() in ("host", ":authority"):
                authority = value
    return HeaderEdits(
        set=_pairs(edits.get("set")),
        add=_pairs(edits.get("add")),
        remove=tuple(name for name in edits.get("remove") or () if not _internal(name)),
        authority=authority,
    )


def _pairs(written: Json | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in (written or {}).items() if not _internal(name)))


def _internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"


def rewrite_of(written: Json | None) -> Rewrite | None:
    """The rewritten path of a request."""
    if not written:
        return None
    regex = written.get("uriRegexRewrite")
    if regex:
        return Rewrite(regex=(regex.get("match", ""), regex.get("rewrite", "")))
    return Rewrite(written["uri"]) if written.get("uri") else None


def redirect_of(written: Json, port: int) -> Redirect:
    """A redirect. Default ports of a scheme are omitted."""
    scheme = written.get("scheme") or ""
    wanted = int(written.get("port") or (port if written.get("derivePort") == "FROM_REQUEST_PORT" else 0))
    implied = (wanted, scheme or "http") in ((80, "http"), (443, "https"))
    return Redirect(
        status=int(written.get("redirectCode") or 301),
        scheme=scheme,
        host=written.get("authority") or "",
        port=0 if implied else wanted,
        path="" if written.get("prefixRewrite") else written.get("uri") or "",
        prefix=written.get("prefixRewrite") or "",
    )


def direct_of(written: Json) -> DirectResponse:
    """The proxy's own answer."""
    body = written.get("body") or {}
    return DirectResponse(int(written["status"]), body.get("string") or "", body.get("bytes") or "")


def cors_of(written: Json | None) -> Cors | None:
    """The CORS policy of a route."""
    if written is None:
        return None
    origins = [text_match(each) for each in written.get("allowOrigins") or ()]
    if "allowOrigins" not in written:
        origins = [StringMatch("exact", each) for each in written.get("allowOrigin") or ()]
    age_s = duration_s(written.get("maxAge"))
    return Cors(
        origins=tuple(origins),
        methods=tuple(written.get("allowMethods") or ()),
        allowed_headers=tuple(written.get("allowHeaders") or ()),
        exposed_headers=tuple(written.get("exposeHeaders") or ()),
        max_age_s=None if age_s is None else int(age_s),
        credentials=written.get("allowCredentials"),
        forward_unmatched_preflights=written.get("unmatchedPreflights") != "IGNORE",
    )
