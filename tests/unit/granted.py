"""What the objects of a role grant."""

from __future__ import annotations

from typing import Any


def granted(objects: list[Any]) -> set[tuple[str, str, str, str | None]]:
    """What roles grant: verb, group, resource and namespace."""
    return {
        (verb, group, resource, item["metadata"].get("namespace"))
        for item in objects
        if item["kind"] in ("ClusterRole", "Role")
        for rule in item["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
