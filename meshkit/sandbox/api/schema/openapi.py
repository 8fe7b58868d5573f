"""OpenAPI v3 documents for each group version, built on demand and cached until a definition changes.

Clients read three things: the schema of a kind (by its group, version and kind), the parameters and media
types of its PATCH (kubectl looks for ``fieldValidation``, ``dryRun`` and strategic merge patches), and for
``explain`` the path of its resource.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.http import negotiation
from meshkit.sandbox.api.schema.published import definitions
from meshkit.sandbox.api.schema.registry import SUBRESOURCES, Registry, Resource

_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def _parameters(kind: str, *names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}} for name in sorted(names)
    ]


_WRITE = _parameters("string", "dryRun", "fieldManager", "fieldValidation")
_SELECT = _parameters("string", "fieldSelector", "labelSelector")
_DELETE = [
    *_parameters("string", "dryRun", "propagationPolicy"),
    *_parameters("integer", "gracePeriodSeconds"),
    *_parameters("boolean", "orphanDependents"),
]
_LIST = [
    *_SELECT,
    *_parameters("string", "continue", "resourceVersion", "resourceVersionMatch"),
    *_parameters("integer", "limit", "timeoutSeconds"),
    *_parameters("boolean", "allowWatchBookmarks", "sendInitialEvents", "watch"),
]
_LOG = [
    *_parameters("string", "container"),
    *_parameters("boolean", "follow", "previous"),
    *_parameters("integer", "tailLines"),
]
_ACTION_PARAMETERS = {  # action -> the supported query parameters
    "delete": _DELETE,
    "deletecollection": [*_DELETE, *_SELECT],
    "list": _LIST,
    "patch": [*_WRITE, *_parameters("boolean", "force")],
    "post": _WRITE,
    "put": _WRITE,
}
_ACTIONS = {  # verb of an object or subresource -> its actions, by method
    "create": {"post": "post"},
    "delete": {"delete": "delete"},
    "get": {"get": "get"},
    "patch": {"patch": "patch"},
    "update": {"put": "put"},
}
_PROXIED = ("delete", "get", "head", "patch", "post", "put")


V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_DOCUMENT = b"\x0a\x032.0"
"""An empty Swagger document (protobuf), which kubectl requests for a kind that is in no v3 document.

Only with a response does kubectl report that the kind does not exist.
"""


class OpenApi:
    """Build and cache the documents of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, bytes] = {}

    def index(self) -> dict[str, Any]:
        """Return the ``/openapi/v3`` index, with a content hash of each document for client caches."""
        paths = {}
        for group, versions in self._registry.versions().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = hashlib.sha256(self.document(path)).hexdigest()[:32].upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": paths}

    def document(self, path: str) -> bytes:
        """Return a document such as ``apis/apps/v1`` as JSON. Raises ApiError 404."""
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
        for described in (resource, *map(resource.body_of, resource.subresources)):
            schemas[described.schema_name] = _kind_schema(described)
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
    """Add every referenced definition, in place."""
    waiting = list(schemas.values())
    while waiting:
        for name in _REFERENCE.findall(json.dumps(waiting.pop())):
            if name not in schemas:
                schemas[name] = definitions()[name]
                waiting.append(schemas[name])


def _paths(resource: Resource) -> dict[str, Any]:
    """Return the operations by path and method, exactly those that ``http`` serves."""
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    many = f"{resource.path}{scope}/{resource.plural}"
    operations: dict[str, Any] = {}
    listed = _operation(resource, "list")
    if "list" in resource.verbs:
        operations[f"{resource.path}/{resource.plural}"] = {"get": listed}
        operations[many] = {"get": listed}
    if "create" in resource.verbs:
        operations.setdefault(many, {})["post"] = _operation(resource, "post")
    if "deletecollection" in resource.verbs:
        operations[many]["delete"] = _operation(resource, "deletecollection")
    if "get" in resource.verbs:
        operations[f"{many}/{{name}}"] = _methods(
            resource, [verb for verb in resource.verbs if verb != "create"]
        )
    for name in resource.subresources:
        path = f"{many}/{{name}}/{name}"
        if name == "portforward":
            operations[path] = dict.fromkeys(("get", "post"), _operation(resource, "connect", name))
        elif name == "proxy":
            operation = _operation(resource, "connect", name)
            operations[path] = operations[f"{path}/{{path}}"] = dict.fromkeys(_PROXIED, operation)
        else:
            operations[path] = _methods(resource, resource.verbs_of(name), name)
    return operations


def _methods(resource: Resource, verbs: Iterable[str], subresource: str = "") -> dict[str, Any]:
    return {
        method: _operation(resource, action, subresource)
        for verb in verbs
        for method, action in _ACTIONS.get(verb, {}).items()
    }


def _operation(resource: Resource, action: str, subresource: str = "") -> dict[str, Any]:
    kind = SUBRESOURCES[subresource].kind if subresource else ""
    body = resource.body_of(subresource)
    described = {"group": body.group, "version": body.version, "kind": kind or body.kind}
    schema = {"schema": {"$ref": f"#/components/schemas/{body.schema_name}"}}
    operation: dict[str, Any] = {
        "operationId": f"{action}{resource.group}{resource.version}{resource.kind}{subresource.title()}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": described,
        "responses": {"200": _answer(schema, subresource)},
    }
    parameters = _LOG if subresource == "log" else _ACTION_PARAMETERS.get(action)
    if parameters:
        operation["parameters"] = parameters
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": schema}}
    elif action == "patch":
        any_object = {"schema": {"type": "object"}}
        types = negotiation.patches(custom=resource.custom)
        operation["requestBody"] = {"content": dict.fromkeys(types, any_object)}
    elif action.startswith("delete"):
        options = {"schema": {"$ref": f"#/components/schemas/{_DELETE_OPTIONS}"}}
        operation["requestBody"] = {"content": {"*/*": options}}
    return operation


def _answer(schema: dict[str, Any], subresource: str) -> dict[str, Any]:
    if subresource in ("log", "portforward", "proxy"):
        text = {"schema": {"type": "string"}}
        return {"description": "OK", "content": {"text/plain" if subresource == "log" else "*/*": text}}
    return {"description": "OK", "content": {"application/json": schema}}
