"""Timeouts, retries and circuit breakers, as Linkerd reads them from annotations and from routes.

Linkerd's durations are one whole number and one unit. Where it cannot read an annotation of a route it takes
none of the route, and where it cannot read one of a Service it goes on without that setting. Where it cannot
read ``timeouts.request`` of a Gateway API route, which Gateway API lets have several units, there is no
timeout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meshkit.meshes.gateway_api.meaning.matches import GROUP as GATEWAY_API
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.outbound import Outlier, Retry

Notes = Mapping[str, str]

TIMEOUTS = ("request", "response", "idle")
ACCRUAL = "balancer.linkerd.io/failure-accrual"
_RETRY_TIMEOUT = "retry.linkerd.io/timeout"
_ONE_UNIT = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BY_KIND: Mapping[str, tuple[str, ...]] = {"HTTPRoute": ("http",), "GRPCRoute": ("grpc",)}
_GRPC_STATUSES = {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
_TRANSPORT_ERRORS = ("connect-failure", "refused-stream", "reset")
_MOST_RETRIES = 65535
TO_ANOTHER_ENDPOINT = Retry(
    attempts=3, retry_on=("connect-failure",), avoid_previous_hosts=True, backoff_s=0.005
)
"""No retry in Linkerd's sense: its balancer gives requests only to endpoints that it has a connection to. So
a request that met one that cannot be connected to goes to another.
"""


def one_unit_s(text: str) -> float:
    """Parse ``2500ms`` or ``1m`` to seconds. Raises ValueError for ``2s500ms``, ``1.5s`` and ``5``."""
    written = text.strip()
    if written == "0":
        return 0.0
    match = _ONE_UNIT.fullmatch(written)
    if match is None:
        raise ValueError(f"{text!r} is not one whole number and one unit, such as 1500ms or 30s")
    return int(match[1]) * _UNITS_S[match[2]]


def timeouts(notes: Notes) -> dict[str, float]:
    """The timeouts that annotations ask for, by name. Raises ValueError for one that Linkerd cannot read."""
    found = {}
    for name in TIMEOUTS:
        if (text := notes.get(f"timeout.linkerd.io/{name}")) is not None:
            found[name] = _named(f"timeout.linkerd.io/{name}", text)
    return found


def request_timeout_s(rule: Mapping[str, Any], group: str) -> float | None:
    """``timeouts.request`` of a rule, None for no timeout. Raises ValueError if Linkerd cannot read it.

    Linkerd reads the durations of its own kind of route as Gateway API writes them, with several units.
    """
    text = (rule.get("timeouts") or {}).get("request")
    if not text:
        return None
    return (one_unit_s(text) if group == GATEWAY_API else duration_s(text)) or None


def retry(notes: Notes, kind: str | None = None) -> Retry | None:
    """The retries that annotations ask for on a kind of route, or on a Service; None if they ask for none.

    Raises ValueError for an annotation that Linkerd cannot read.
    """
    limit = _limit(notes)
    per_try_s = _named(_RETRY_TIMEOUT, notes[_RETRY_TIMEOUT]) if _RETRY_TIMEOUT in notes else None
    conditions: list[str] = []
    statuses: list[int] = []
    protocols = _BY_KIND.get(kind or "", ("http", "grpc"))
    written = [protocol for protocol in protocols if f"retry.linkerd.io/{protocol}" in notes]
    if "http" in written:
        conditions, statuses = _http_conditions(notes["retry.linkerd.io/http"])
    if "grpc" in written:
        conditions += _grpc_conditions(notes["retry.linkerd.io/grpc"])
    if not limit and not per_try_s and not written:
        return None
    if not conditions and not statuses:
        return TO_ANOTHER_ENDPOINT
    return Retry(
        attempts=limit or 1,
        retry_on=(*conditions, *_TRANSPORT_ERRORS),
        statuses=tuple(statuses),
        per_try_timeout_s=per_try_s or None,
        avoid_previous_hosts=False,
    )


def _named(annotation: str, text: str) -> float:
    try:
        return one_unit_s(text)
    except ValueError as problem:
        raise ValueError(f"{annotation}: {problem}") from problem


def _limit(notes: Notes) -> int:
    text = notes.get("retry.linkerd.io/limit", "0")
    if not text.isdecimal() or int(text) > _MOST_RETRIES:
        raise ValueError(f"retry.linkerd.io/limit: {text!r} is not a number from 0 to {_MOST_RETRIES}")
    return int(text)


def _http_conditions(written: str) -> tuple[list[str], list[int]]:
    """Envoy's names and the statuses of ``5xx,gateway-error,429,500-504``."""
    conditions: list[str] = []
    statuses: list[int] = []
    for text in written.split(","):
        if text.lower() in ("5xx", "gateway-error"):
            conditions.append(text.lower())
            continue
        first, _, last = text.partition("-")
        codes = [int(each) for each in (first, last or first) if each.isdecimal() and 100 <= int(each) < 600]
        if len(codes) < 2 or codes[0] > codes[1]:
            raise ValueError(f"retry.linkerd.io/http: {text!r} is no status, range, 5xx or gateway-error")
        statuses += range(codes[0], codes[1] + 1)
    return conditions, statuses


def _grpc_conditions(written: str) -> list[str]:
    names = [text.lower() for text in written.split(",")]
    for name in names:
        if name not in _GRPC_STATUSES:
            raise ValueError(f"retry.linkerd.io/grpc: {name!r} is no status that Linkerd retries")
    return names


def failure_accrual(notes: Notes) -> Outlier | None:
    """The circuit breaker that annotations ask for, in the mode ``consecutive``.

    Raises ValueError for an annotation that Linkerd cannot read.
    """
    prefix, mode = ACCRUAL, notes.get(ACCRUAL)
    if mode is None:
        return None
    if mode not in ("consecutive", "unified"):
        raise ValueError(f"{prefix}: {mode!r} is not consecutive or unified")
    failures = notes.get(f"{prefix}-consecutive-max-failures", "7").strip()
    if not failures.isdecimal():
        raise ValueError(f"{prefix}-consecutive-max-failures: {failures!r} is not a number")
    low, high = f"{prefix}-consecutive-min-penalty", f"{prefix}-consecutive-max-penalty"
    least_s, most_s = _named(low, notes.get(low, "1s")), _named(high, notes.get(high, "1m"))
    if least_s > most_s or not most_s:
        raise ValueError(f"{low} is longer than {high}" if most_s else f"{high} is 0")
    _jitter(notes.get(f"{prefix}-consecutive-jitter-ratio", "0.5"))
    if mode == "unified":
        return None
    return Outlier(
        consecutive_5xx=int(failures),
        interval_s=0.1,
        base_ejection_s=least_s or 1.0,
        max_ejection_s=most_s,
        max_ejection_percent=100,
    )


def _jitter(text: str) -> None:
    try:
        ratio = float(text.strip())
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 100:
        raise ValueError(f"{ACCRUAL}-consecutive-jitter-ratio: {text!r} is not a number from 0 to 100")


def refusal(notes: Notes, kind: str) -> str:
    """Why Linkerd cannot read the annotations of a route on a Service; empty if it can."""
    try:
        retry(notes, kind)
        failure_accrual(notes)
        timeouts(notes)
    except ValueError as problem:
        return f"annotation {problem}"
    return ""
