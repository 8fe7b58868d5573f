"""Linkerd's policy kinds and ServiceProfile, as far as an API server needs them: fields, types and defaults.

Written by hand from the published field lists of Linkerd edge-26.8 (no Go module of Linkerd is in a registry,
so there is nothing to generate from), with facts only and none of its text. Where Linkerd allows a field more
than its policy controller reads, so does this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GROUP = "policy.linkerd.io"
Schema = dict[str, Any]

_GROUP_NAME = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_KIND_NAME = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_HOST = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HEADER = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


def _object(required: Sequence[str] = (), **fields: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": fields}
    return {**schema, "required": list(required)} if required else schema


def _array(items: Schema, **limits: Any) -> Schema:
    return {"type": "array", "items": items, **limits}


def _text(longest: int | None = None, shortest: int | None = None, **more: Any) -> Schema:
    limits = {"maxLength": longest, "minLength": shortest}
    return {"type": "string", **{key: value for key, value in limits.items() if value is not None}, **more}


def _one_of(*values: str, **more: Any) -> Schema:
    return {"type": "string", "enum": list(values), **more}


def _whole(least: int | None = None, most: int | None = None, **more: Any) -> Schema:
    limits = {"minimum": least, "maximum": most}
    given = {key: value for key, value in limits.items() if value is not None}
    return {"type": "integer", "format": "int32", **given, **more}


def _by_name(item: Schema) -> Schema:
    """A list whose entries are told apart by their name."""
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    return _array(item, maxItems=16, **keyed)


def _group(default: str | None = None) -> Schema:
    return _defaulted(_text(253, pattern=_GROUP_NAME), default)


def _kind(default: str | None = None) -> Schema:
    return _defaulted(_text(63, 1, pattern=_KIND_NAME), default)


def _defaulted(schema: Schema, default: str | None) -> Schema:
    return schema if default is None else {**schema, "default": default}


_NAME = _text(253, 1)
_PORT = _whole(1, 65535)


def _reference(*required: str, namespaced: bool = True) -> Schema:
    reference = _object(required, group=_group(), kind=_kind(), name=_NAME)
    if namespaced:
        reference["properties"]["namespace"] = _text(253)
    return reference


def _selector() -> Schema:
    expression = _object(
        ("key", "operator"),
        key=_text(),
        operator=_one_of("In", "NotIn", "Exists", "DoesNotExist"),
        values=_array(_text()),
    )
    labels = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return _object(matchLabels=labels, matchExpressions=_array(expression))


def _server(*, has_access_policy: bool) -> Schema:
    fields = {
        "podSelector": _selector(),
        "externalWorkloadSelector": _selector(),
        "port": {"x-kubernetes-int-or-string": True},
        "proxyProtocol": _text(default="unknown"),
    }
    if has_access_policy:
        fields["accessPolicy"] = _text(default="deny")
    either = [{"required": ["podSelector"]}, {"required": ["externalWorkloadSelector"]}]
    return {**_object(("port",), **fields), "oneOf": either}


def _authorization_policy() -> Schema:
    return _object(
        ("targetRef", "requiredAuthenticationRefs"),
        targetRef=_reference("kind", "name", namespaced=False),
        requiredAuthenticationRefs=_array(_reference("kind", "name")),
    )


def _mesh_tls_authentication() -> Schema:
    names, references = _array(_text(), minItems=1), _array(_reference("kind"), minItems=1)
    either = [{"required": ["identities"]}, {"required": ["identityRefs"]}]
    return {**_object(identities=names, identityRefs=references), "oneOf": either}


def _network_authentication() -> Schema:
    network = _object(("cidr",), cidr=_text())
    network["properties"]["except"] = _array(_text())
    return _object(("networks",), networks=_array(network))


def _http_route() -> Schema:
    match = _object(
        path=_object(
            type=_one_of("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
            value=_text(1024, default="/"),
        )
        | {"default": {"type": "PathPrefix", "value": "/"}},
        headers=_by_name(_value_match(256, 4096, _HEADER)),
        queryParams=_by_name(_value_match(256, 1024)),
        method=_one_of(*_METHODS),
    )
    anywhere = {"path": {"type": "PathPrefix", "value": "/"}}
    rule = _object(
        matches=_array(match, maxItems=8, default=[anywhere]),
        filters=_array(_filter("RequestHeaderModifier", "RequestRedirect"), maxItems=16),
        backendRefs=_array(_backend(), maxItems=16),
        timeouts=_object(
            request=_text(format="duration"),
            backendRequest=_text(format="duration"),
        ),
    )
    return _object(
        hostnames=_array(_text(253, 1, pattern=rf"^(\*\.)?{_HOST}"), maxItems=16),
        parentRefs=_array(_parent(), maxItems=32),
        rules=_array(rule, maxItems=16, default=[{"matches": [anywhere]}]),
    )


def _value_match(longest_name: int, longest_value: int, pattern: str | None = None) -> Schema:
    return _object(
        ("name", "value"),
        name=_text(longest_name, 1) | ({"pattern": pattern} if pattern else {}),
        type=_one_of("Exact", "RegularExpression", default="Exact"),
        value=_text(longest_value, 1),
    )


def _filter(*types: str) -> Schema:
    header = _object(("name", "value"), name=_text(256, 1, pattern=_HEADER), value=_text(4096, 1))
    edits = _object(set=_by_name(header), add=_by_name(header), remove=_array(_text(), maxItems=16))
    path = _object(
        ("type",),
        type=_one_of("ReplaceFullPath", "ReplacePrefixMatch"),
        replaceFullPath=_text(1024),
        replacePrefixMatch=_text(1024),
    )
    redirect = _object(
        scheme=_one_of("http", "https"),
        hostname=_text(253, 1, pattern=f"^{_HOST}"),
        path=path,
        port=_PORT,
        statusCode={"type": "integer", "enum": [301, 302], "default": 302},
    )
    fields = {"requestHeaderModifier": edits, "requestRedirect": redirect}
    if "ResponseHeaderModifier" in types:
        fields["responseHeaderModifier"] = edits
    return _object(("type",), type=_one_of(*types), **fields)


def _backend() -> Schema:
    filters = _filter("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect")
    return _object(
        ("name",),
        group=_group(""),
        kind=_kind("Service"),
        name=_NAME,
        namespace=_text(63, 1, pattern=_LABEL),
        port=_PORT,
        weight=_whole(0, 1_000_000, default=1),
        filters=_array(filters, maxItems=16),
    )


def _parent() -> Schema:
    return _object(
        ("name",),
        group=_group(GROUP),
        kind=_kind("Gateway"),
        name=_NAME,
        namespace=_text(63, 1, pattern=_LABEL),
        port=_PORT,
        sectionName=_text(253, 1, pattern=f"^{_HOST}"),
    )


def _route_status() -> Schema:
    condition = _object(
        ("lastTransitionTime", "message", "reason", "status", "type"),
        type=_text(316),
        status=_one_of("True", "False", "Unknown"),
        reason=_text(1024, 1),
        message=_text(32768),
        lastTransitionTime=_text(format="date-time"),
        observedGeneration={"type": "integer", "format": "int64", "minimum": 0},
    )
    by_type = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    parent = _object(
        ("controllerName", "parentRef"),
        conditions=_array(condition, minItems=1, maxItems=8, **by_type),
        controllerName=_text(253, 1),
        parentRef=_parent(),
    )
    return _object(("parents",), parents=_array(parent, maxItems=32))


def _service_profile() -> Schema:
    """Conditions nest, so they are not described further."""
    condition = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    response = _object(("condition",), condition=condition, isFailure={"type": "boolean"})
    route = _object(
        ("name", "condition"),
        name=_text(),
        condition=condition,
        isRetryable={"type": "boolean"},
        timeout=_text(),
        responseClasses=_array(response),
    )
    number = {"type": "number"}
    budget = _object(
        ("minRetriesPerSecond", "retryRatio", "ttl"),
        minRetriesPerSecond={"type": "integer"},
        retryRatio=number,
        ttl=_text(),
    )
    weight = {"x-kubernetes-int-or-string": True}
    override = _object(("authority", "weight"), authority=_text(), weight=weight)
    return _object(
        routes=_array(route),
        retryBudget=budget,
        dstOverrides=_array(override),
        opaquePorts=_array(_text()),
    )


def _definition(
    kind: str,
    plural: str,
    versions: Sequence[tuple[str, Schema]],
    *,
    short: Sequence[str] = (),
    group: str = GROUP,
) -> Schema:
    """A definition that serves all versions and stores the last."""
    names: Schema = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    if short:
        names["shortNames"] = list(short)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced",
            "versions": [
                _version(name, schema, is_stored=name == versions[-1][0], has_status=kind == "HTTPRoute")
                for name, schema in versions
            ],
        },
    }


def _version(name: str, spec: Schema, *, is_stored: bool, has_status: bool) -> Schema:
    status = {"status": _route_status()} if has_status else {}
    whole = _object(
        ("spec",),
        apiVersion=_text(),
        kind=_text(),
        metadata={"type": "object"},
        spec=spec,
        **status,
    )
    served: Schema = {"name": name, "served": True, "storage": is_stored}
    if has_status:
        served["subresources"] = {"status": {}}
    return {**served, "schema": {"openAPIV3Schema": whole}}


def definitions() -> tuple[Schema, ...]:
    """The CustomResourceDefinitions, in the order of their names."""
    old, new = _server(has_access_policy=False), _server(has_access_policy=True)
    route = _http_route()
    return (
        _definition(
            "AuthorizationPolicy",
            "authorizationpolicies",
            [("v1alpha1", _authorization_policy())],
            short=["authzpolicy"],
        ),
        _definition("HTTPRoute", "httproutes", [("v1beta2", route), ("v1beta3", route)]),
        _definition(
            "MeshTLSAuthentication",
            "meshtlsauthentications",
            [("v1alpha1", _mesh_tls_authentication())],
            short=["meshtlsauthn"],
        ),
        _definition(
            "NetworkAuthentication",
            "networkauthentications",
            [("v1alpha1", _network_authentication())],
            short=["netauthn", "networkauthn"],
        ),
        _definition(
            "Server", "servers", [("v1beta1", old), ("v1beta2", old), ("v1beta3", new)], short=["srv"]
        ),
        _definition(
            "ServiceProfile",
            "serviceprofiles",
            [("v1alpha2", _service_profile())],
            short=["sp"],
            group="linkerd.io",
        ),
    )
