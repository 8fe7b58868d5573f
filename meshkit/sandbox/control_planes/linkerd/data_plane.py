"""Linkerd's data plane: the settings of its proxies and its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.linkerd.metrics import BUCKETS_MS, LinkerdSeries
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.dataplane.render.wire import JSON
from meshkit.sandbox.node import programs
from meshkit.sandbox.node.programs import Image

_ROLES = {
    "destination": "config",
    "identity": "identity",
    "proxy-injector": "injector",
    "sp-validator": "profile-validator",
    "/linkerd-policy-controller": "policy-validator",
}
"""Maps the first argument of a Linkerd container to the role of its process.

The role ``config`` also writes the policies that Linkerd's policy controller would send to proxies.
"""


def _component(pod_dir: Path, args: Sequence[str]) -> list[str]:
    role = _ROLES[programs.require_first_word(args, tuple(_ROLES))]
    return programs.module("control_planes.linkerd.main", "--roles", role)


def _local_replies() -> JSON:
    """Return local replies like Linkerd's: an empty body and the reason in a header.

    Envoy sets the status of gRPC responses in any case.
    """
    reasons = {403: "unauthorized request on route", 404: "no route found for request"}
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "none"}}
                    }
                },
                "headers_to_add": [{"header": {"key": "l5d-proxy-error", "value": reason}}],
                "body_format_override": {"text_format_source": {"inline_string": ""}},
            }
            for status, reason in reasons.items()
        ]
    }


_REGISTRIES = ("cr.l5d.io", "ghcr.io")
_VARIABLES = frozenset({"LINKERD2_IDENTITY_ISSUANCE_LIFETIME"})

DATA_PLANE = DataPlane(
    proxy=PROXY,
    style=ProxyStyle(
        "linkerd-proxy",
        san_type=PROXY.san_type,
        latency_until="DS_TX_BEG",
        detection_s=10,
        local_replies=_local_replies(),
    ),
    page=(4191, "/metrics"),
    series=lambda pod, me, peers: LinkerdSeries(me, peers),
    buckets_ms=lambda pod: BUCKETS_MS,
    images={
        **{f"{registry}/linkerd/proxy": programs.PROXY for registry in _REGISTRIES},
        **{
            f"{registry}/linkerd/controller": Image("program", _component, _VARIABLES)
            for registry in _REGISTRIES
        },
        **{f"{registry}/linkerd/proxy-init": programs.SETUP for registry in _REGISTRIES},
    },
)
