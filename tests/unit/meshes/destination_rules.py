"""DestinationRules of a team for the Service web in the namespace shop."""

from __future__ import annotations

from typing import Any

FULL = "web.shop.svc.cluster.local"
POOL = {"connectionPool": {"tcp": {"maxConnections": 100}}}


def rule(name: str, *, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A DestinationRule of a team for web."""
    meta = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    body = {"host": FULL, **spec}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": meta,
        "spec": body,
    }


def subsets(**labels: dict[str, str]) -> list[dict[str, Any]]:
    """Subsets by name, each with the labels of its pods."""
    return [{"name": name, "labels": chosen} for name, chosen in labels.items()]


SAME = subsets(v1={"version": "v1"}, v2={"version": "v2"})
