"""Renders small parts of Envoy's JSON: type URLs, durations, percentages, addresses and filters."""

from __future__ import annotations

from typing import Any

from meshkit.meshes.model.outbound import Fault

JSON = dict[str, Any]
TYPE = "type.googleapis.com/envoy."
_HTTP = "extensions.filters.http."


def socket(address: str, port: int) -> JSON:
    """Render an address and port."""
    return {"socket_address": {"address": address, "port_value": port}}


def seconds(duration_s: float) -> str:
    """Render a duration in protobuf's JSON format, with microsecond precision."""
    return f"{duration_s:.6f}".rstrip("0").rstrip(".") + "s"


def percent(share: float) -> JSON:
    """Render a percentage, exact to a ten-thousandth of a percent."""
    return {"numerator": round(share * 10_000), "denominator": "MILLION"}


def http_filter(name: str, message: str, **fields: Any) -> JSON:
    """Render an HTTP filter with its settings."""
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": TYPE + _HTTP + message, **fields},
    }


def fault(model: Fault) -> JSON:
    """Render the settings of the fault filter; they are empty in the chain and complete in a route."""
    rendered: JSON = {"@type": TYPE + _HTTP + "fault.v3.HTTPFault"}
    if model.delay_s:
        rendered["delay"] = {
            "fixed_delay": seconds(model.delay_s),
            "percentage": percent(model.delay_percent),
        }
    if model.abort_status or model.abort_grpc_status is not None:
        how = (
            {"http_status": model.abort_status}
            if model.abort_grpc_status is None
            else {"grpc_status": model.abort_grpc_status}
        )
        rendered["abort"] = {**how, "percentage": percent(model.abort_percent)}
    return rendered
