"""OpenAPI v3 documents: one for each group and version, built when first asked for and kept until a
definition changes.

Clients read three things in them: the schema of a kind (by its group, version and kind), which parameters
and media types its PATCH takes (kubectl looks for ``fieldValidation`` and ``dryRun``, and for a strategic
merge patch), and for ``explain`` the path of its resource.
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
_TAKEN = {  # action -> the query parameters that are honoured
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
        for each in (resource, *map(resource.body_of, resource.subresources)):
            schemas[each.schema_name] = _kind_schema(each)
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
    """The operations by address and method: all that ``http`` and ``subresources`` answer, and no others."""
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    many = f"{resource.path}{scope}/{resource.plural}"
    found: dict[str, Any] = {}
    listed = _operation(resource, "list")
    if "list" in resource.verbs:
        found[f"{resource.path}/{resource.plural}"] = {"get": listed}
        found[many] = {"get": listed}
    if "create" in resource.verbs:
        found.setdefault(many, {})["post"] = _operation(resource, "post")
    if "deletecollection" in resource.verbs:
        found[many]["delete"] = _operation(resource, "deletecollection")
    if "get" in resource.verbs:
        found[f"{many}/{{name}}"] = _methods(resource, [verb for verb in resource.verbs if verb != "create"])
    for name in resource.subresources:
        path = f"{many}/{{name}}/{name}"
        if name == "proxy":
            operation = _operation(resource, "connect", name)
            found[path] = found[f"{path}/{{path}}"] = dict.fromkeys(_PROXIED, operation)
        else:
            found[path] = _methods(resource, resource.verbs_of(name), name)
    return found


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
    parameters = _LOG if subresource == "log" else _TAKEN.get(action)
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
    if subresource in ("log", "proxy"):
        text = {"schema": {"type": "string"}}
        return {"description": "OK", "content": {"text/plain" if subresource == "log" else "*/*": text}}
    return {"description": "OK", "content": {"application/json": schema}}
