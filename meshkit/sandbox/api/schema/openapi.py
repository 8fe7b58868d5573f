"""OpenAPI v3 documents: one for each group and version, built when first asked for and kept until a
definition changes.

Clients read three things in them: the schema of a kind (by its group, version and kind), which parameters
its PATCH takes (kubectl looks for ``fieldValidation`` and ``dryRun`` there), and for ``explain`` the path
of its resource.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema.published import definitions
from meshkit.sandbox.api.schema.registry import Registry, Resource

_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
_FORCE = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_DOCUMENT = b"\x0a\x032.0"
"""A Swagger document (protobuf) that defines nothing: kubectl asks for one when a kind is in no v3 document,
and only with an answer goes on to say that there is no such kind."""


class OpenApi:
    """The documents of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, bytes] = {}

    def index(self) -> dict[str, Any]:
        """``/openapi/v3``: each document with the hash of its content, by which clients cache it."""
        paths = {}
        for group, versions in self._registry.versions().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = hashlib.sha256(self.document(path)).hexdigest()[:32].upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": paths}

    def document(self, path: str) -> bytes:
        """``apis/apps/v1`` as JSON. Raises ApiError 404."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._documents.clear()
        if path not in self._documents:
            parts = path.split("/")
            group = "" if parts[0] == "api" else "/".join(parts[1:-1])
            version = parts[-1]
            resources = self._registry.of_version(group, version)
            if not resources:
                raise status.no_such_path()
            self._documents[path] = json.dumps(_document(resources), separators=(",", ":")).encode()
        return self._documents[path]


def _document(resources: list[Resource]) -> dict[str, Any]:
    schemas = {_DELETE_OPTIONS: definitions()[_DELETE_OPTIONS]}
    paths: dict[str, Any] = {}
    for resource in resources:
        schemas[resource.schema_name] = _kind_schema(resource)
        paths.update(_paths(resource))
    _close(schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0+meshkit.sandbox"},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _kind_schema(resource: Resource) -> dict[str, Any]:
    return {**resource.schema, "x-kubernetes-group-version-kind": [_kind(resource)]}


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _close(schemas: dict[str, Any]) -> None:
    """Add every definition that is referred to."""
    waiting = list(schemas.values())
    while waiting:
        for name in _REFERENCE.findall(json.dumps(waiting.pop())):
            if name not in schemas:
                schemas[name] = definitions()[name]
                waiting.append(schemas[name])


def _paths(resource: Resource) -> dict[str, Any]:
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    many = f"{resource.path}{scope}/{resource.plural}"
    found: dict[str, Any] = {many: {"post": _operation(resource, "post")}}
    if "list" in resource.verbs:
        found[many]["get"] = _operation(resource, "list")
        found[f"{many}/{{name}}"] = {
            "get": _operation(resource, "get"),
            "put": _operation(resource, "put"),
            "patch": _operation(resource, "patch"),
            "delete": _operation(resource, "delete"),
        }
    return found


def _operation(resource: Resource, action: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{resource.schema_name}"}
    body = {"schema": schema}
    operation: dict[str, Any] = {
        "operationId": f"{action}{resource.group}{resource.version}{resource.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _kind(resource),
        "responses": {"200": {"description": "OK", "content": {"application/json": body}}},
    }
    if action in ("post", "put", "patch", "delete"):
        operation["parameters"] = [*_PARAMETERS, *([_FORCE] if action == "patch" else [])]
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": body}}
    elif action == "patch":
        any_object = {"schema": {"type": "object"}}
        operation["requestBody"] = {"content": dict.fromkeys(_PATCH_TYPES, any_object)}
    return operation
