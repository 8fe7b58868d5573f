"""Routes that teams wrote, and the release that finds them."""

from __future__ import annotations

from typing import Any

from meshkit.intent.release import Release
from tests.unit.meshes.meshed import service

FULL = "web.shop.svc.cluster.local"


def release(**fields: Any) -> Release:
    usual = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    return Release(**{**usual, "stable": "v1", "canary": "v2", **fields})


def backing(name: str, version: str) -> dict[str, Any]:
    """A Service of one version."""
    made = service(name, 8080)
    made["spec"]["selector"] = {"app": "web", "version": version}
    return made


def subsets(**labels: str) -> dict[str, Any]:
    """A DestinationRule: subset -> version label."""
    listed = [{"name": name, "labels": {"version": version}} for name, version in labels.items()]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "web-rule", "namespace": "shop"},
        "spec": {"host": "web", "subsets": listed},
    }


def to_subsets(*names: str, **rule: Any) -> dict[str, Any]:
    entries = [
        {"destination": {"host": "web", "subset": name}, "weight": 0 if index else 100}
        for index, name in enumerate(names)
    ]
    return {**rule, "route": entries}


def to_hosts(*hosts: str, **rule: Any) -> dict[str, Any]:
    entries = [
        {"destination": {"host": host}, "weight": 0 if index else 100} for index, host in enumerate(hosts)
    ]
    return {**rule, "route": entries}


def backends(*names: str, **rule: Any) -> dict[str, Any]:
    refs = [{"name": name, "port": 8080, "weight": 0 if index else 100} for index, name in enumerate(names)]
    return {**rule, "backendRefs": refs}
