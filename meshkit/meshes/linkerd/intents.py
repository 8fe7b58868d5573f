"""The checks of intents that only Linkerd has: what becomes of requests to other hosts outside."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Finding, Need, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.edges.egress import Egress
from meshkit.meshes.linkerd.traffic import egress


def needs(intent: Intent) -> Iterator[Need]:
    """The objects that ``check`` reads, in addition to those that the planner reads: none."""
    del intent
    yield from ()


def check(intent: Intent, snapshot: Snapshot) -> Iterator[Finding]:
    """The findings about an intent."""
    if isinstance(intent, Egress):
        yield from egress.findings(intent, snapshot)
