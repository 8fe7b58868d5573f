from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshkit.sandbox.api.auth.users import SYSTEM, Tokens
from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.requests import Admission, Options, Target
from meshkit.sandbox.api.schema.registry import Registry, Resource
from meshkit.sandbox.api.storage.store import Key, Store
from meshkit.sandbox.api.storage.writes import Writes

WIDGETS: dict[str, Any] = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1},
                                    "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                                    "owner": {"type": "string", "nullable": True},
                                    "routes": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {"weight": {"type": "integer"}},
                                        },
                                    },
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


class NoWebhooks:
    async def mutate(self, admission: Admission) -> dict[str, Any]:
        return admission.object

    async def validate(self, admission: Admission) -> None:
        return None


@dataclass
class Api:
    """An API server without its HTTPS side."""

    store: Store = field(default_factory=lambda: Store(":memory:"))

    def __post_init__(self) -> None:
        self.writes = Writes(self.store, Registry(), NoWebhooks())
        self.client = LocalClient(self.writes, Tokens("admin", b"key", self._uid))

    def _uid(self, resource: str, namespace: str, name: str) -> str | None:
        stored = self.store.get(Key(resource, namespace, name))
        return stored.object["metadata"]["uid"] if stored else None

    @staticmethod
    def options(manager: str = "test", **more: Any) -> Options:
        return Options(SYSTEM, manager, **more)

    @staticmethod
    def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "c", "image": "web:1"}]},
                },
                **spec,
            },
        }

    async def define_widgets(self) -> None:
        await self.client.create("customresourcedefinitions.apiextensions.k8s.io", WIDGETS)

    def resource(self, key: str) -> Resource:
        found = self.writes.registry.by_key(key)
        assert found is not None
        return found

    def target(self, key: str, name: str = "", subresource: str = "", namespace: str = "default") -> Target:
        resource = self.resource(key)
        return Target(resource, namespace if resource.namespaced else "", name, subresource)


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    found.store.create(
        Key("namespaces", "", "default"),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "uid": "0"}, "spec": {}},
    )
    yield found
    found.store.close()
