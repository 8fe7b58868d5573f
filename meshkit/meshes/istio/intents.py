"""The checks of intents that only Istio has: the ambient mode, hosts outside, charts on retired hosts."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Need, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.mesh import ControlPlane
from meshkit.meshes.istio.ambient import intents as ambient
from meshkit.meshes.istio.retired_hosts import new_place, retired
from meshkit.meshes.istio.traffic import egress, exposures


def needs(intent: Intent) -> Iterator[Need]:
    """The objects that ``check`` reads, in addition to those that the planner reads."""
    yield from ambient.needs(intent)


def check(intent: Intent, snapshot: Snapshot) -> Iterator[Finding]:
    """The findings about an intent."""
    yield from ambient.check(intent, snapshot)
    if isinstance(intent, DestinationPolicy) and intent.tls and intent.tls.secret:
        message = f"the callers get Secret {intent.namespace}/{intent.tls.secret} for TLS to {intent.host}."
        yield codes.finding(codes.SECRET_NEEDS_RIGHTS, "destination_policy.tls.secret", message)
    if isinstance(intent, Egress):
        yield from egress.findings(intent, snapshot)
    if isinstance(intent, Exposure):
        yield from exposures.findings(intent, snapshot)
    if isinstance(intent, ControlPlane):
        written = {"charts": str(intent.charts or ""), "values": intent.values}
        if intent.gateway:
            written["gateway"] = intent.gateway.model_dump()
        for path, text in retired(written):
            message = f"it names {text}, now {new_place(text)}."
            yield codes.finding(codes.RETIRED_HOST, f"control_plane.{path}", message)
