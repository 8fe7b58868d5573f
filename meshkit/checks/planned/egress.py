"""Checks that the Egresses of one plan do not overwrite each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding
from meshkit.intent.base import Intent
from meshkit.intent.edges.egress import Egress


def check(intents: Sequence[Intent]) -> Iterator[Finding]:
    """Find Egresses of the same name, and of one namespace with different answers for other hosts."""
    names: set[tuple[str, str]] = set()
    answers: dict[str, str] = {}
    for egress in intents:
        if not isinstance(egress, Egress):
            continue
        where = (egress.namespace, egress.name)
        if where in names:
            message = f"Egress {'/'.join(where)} is in this plan twice."
            yield codes.finding(codes.TWO_EGRESSES, "egress.name", message)
        names.add(where)
        if egress.others is None:
            continue
        first = answers.setdefault(egress.namespace, egress.others)
        if egress.others != first:
            message = f"others of {'/'.join(where)} is {egress.others}, and an Egress before it says {first}."
            yield codes.finding(codes.TWO_EGRESSES, "egress.others", message)
