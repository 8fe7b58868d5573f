"""Renders rate limits as Envoy's local rate limit filter, whose buckets all connections of a pod share.

A request takes a token from the bucket of all requests and from the one of its caller. The caller is known by
the header with its certificate, which the proxy writes itself and takes from nobody.
"""

from __future__ import annotations

from meshkit.meshes.model.inbound import RateLimit
from meshkit.sandbox.dataplane.render.wire import JSON, http_filter, percent

_CERTIFICATE = "x-forwarded-client-cert"
_UNLIMITED = 1_000_000_000
_MOST_CALLERS = 1000
"""Buckets of callers that Envoy keeps; beyond them it drops the one that was used the longest ago."""
_ALWAYS = {"default_value": percent(100)}


def rate_limit_filters(model: RateLimit | None) -> list[JSON]:
    """Return the filter of a limit, or nothing without one."""
    if model is None:
        return []
    limits, buckets = _by_caller(model)
    fields: JSON = {
        "stat_prefix": "http_local_rate_limiter",
        "token_bucket": _bucket(model.total_rps or _UNLIMITED),
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
    }
    if buckets:
        fields |= {"rate_limits": limits, "descriptors": buckets, "max_dynamic_descriptors": _MOST_CALLERS}
    return [http_filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", **fields)]


def _by_caller(model: RateLimit) -> tuple[list[JSON], list[JSON]]:
    """The actions that tell callers apart, and the buckets of what they tell."""
    limits: list[JSON] = []
    buckets: list[JSON] = []
    named = [name for each in model.overrides for name in each.identities]
    for number, each in enumerate(model.overrides):
        key = f"override-{number}"
        limits += [{"actions": [_matched(key, name)]} for name in each.identities]
        buckets.append(_of_caller(key, "true", each.rps))
    if model.caller_rps:
        others = [_matched("other", name, expected=False) for name in named]
        entries = [{"key": "other", "value": "true"}] * len(named)
        known = {"request_headers": {"header_name": _CERTIFICATE, "descriptor_key": "caller"}}
        limits.append({"actions": [*others, known]})
        buckets.append({"entries": [*entries, {"key": "caller"}], "token_bucket": _bucket(model.caller_rps)})
        limits.append({"actions": [_matched("unknown", "", expected=False)]})
        buckets.append(_of_caller("unknown", "true", model.caller_rps))
    return limits, buckets


def _of_caller(key: str, value: str, rps: int) -> JSON:
    return {"entries": [{"key": key, "value": value}], "token_bucket": _bucket(rps)}


def _matched(key: str, identity: str, expected: bool = True) -> JSON:
    """The entry ``key: true`` if the caller has the identity, or any with an empty one; or if it has not."""
    how = {"string_match": {"contains": f"DNS={identity}"}} if identity else {"present_match": True}
    header = {"name": _CERTIFICATE, **how}
    matched = {"descriptor_key": key, "descriptor_value": "true", "expect_match": expected}
    return {"header_value_match": {**matched, "headers": [header]}}


def _bucket(rps: int) -> JSON:
    return {"max_tokens": rps, "tokens_per_fill": rps, "fill_interval": "1s"}
