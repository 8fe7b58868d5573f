"""The annotation by which an object tells the settings of DestinationPolicies from those of Routes.

It lists fields of DestinationPolicies, each with the port that it is for, if it is for one:
``load_balancing,8080/tls``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from meshkit.facts import Object
from meshkit.kube.metadata import annotations_of

ANNOTATION = "meshkit.dev/policy-fields"


class PolicyField(NamedTuple):
    """A field that a DestinationPolicy set, for one port, or for every port (0)."""

    port: int
    name: str


def written(obj: Object) -> frozenset[PolicyField]:
    """The fields of an object that DestinationPolicies set. What cannot be read counts as not set."""
    found = set()
    for entry in annotations_of(obj).get(ANNOTATION, "").split(","):
        port, _, name = entry.strip().rpartition("/")
        if name and (not port or port.isdecimal()):
            found.add(PolicyField(int(port or 0), name))
    return frozenset(found)


def note(fields: Iterable[PolicyField]) -> dict[str, str]:
    """The annotation that lists these fields; nothing for none."""
    listed = [f"{field.port}/{field.name}" if field.port else field.name for field in sorted(fields)]
    return {ANNOTATION: ",".join(listed)} if listed else {}
