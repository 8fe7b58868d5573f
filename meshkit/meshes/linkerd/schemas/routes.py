"""Linkerd's own HTTPRoute, which its later versions gave more fields."""

from __future__ import annotations

from meshkit.meshes.linkerd.schemas.blocks import (
    GROUP,
    HOST,
    NAME,
    NAMESPACE,
    PORT,
    Schema,
    array,
    condition,
    group,
    keyed,
    kind,
    mapping,
    one_of,
    text,
    whole,
)

_HEADER = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_CONTROLLER = rf"^{HOST[:-1]}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
_INTEGER: Schema = {"type": "integer"}


def spec(*, early: bool = False, has_timeouts: bool = False) -> Schema:
    """The spec of a route; ``early`` is v1alpha1 and v1beta1, whose backends have a name and a port only."""
    anywhere = {"path": {"type": "PathPrefix", "value": "/"}}
    rule = mapping(
        matches=array(_match(), maxItems=8, default=[anywhere]),
        filters=array(_filter("RequestHeaderModifier", "RequestRedirect"), maxItems=16),
        backendRefs=array(_early_backend()) if early else array(_backend(), maxItems=16),
    )
    if has_timeouts:
        duration = text(format="duration")
        rule["properties"]["timeouts"] = mapping(request=duration, backendRequest=duration)
    return mapping(
        hostnames=array(text(253, 1, pattern=rf"^(\*\.)?{HOST}"), maxItems=16),
        parentRefs=array(_parent(_INTEGER if early else PORT), maxItems=32),
        rules=array(rule, maxItems=16, default=[{"matches": [anywhere]}]),
    )


def status() -> Schema:
    """The status of a route, by parent."""
    told = condition()
    told["required"] = ["lastTransitionTime", "message", "reason", "status", "type"]
    told["properties"]["observedGeneration"] = {"type": "integer", "format": "int64", "minimum": 0}
    parent = mapping(
        ("controllerName", "parentRef"),
        conditions=keyed(told, "type", minItems=1, maxItems=8),
        controllerName=text(253, 1, pattern=_CONTROLLER),
        parentRef=_parent(PORT),
    )
    return mapping(("parents",), parents=array(parent, maxItems=32))


def _match() -> Schema:
    path = mapping(
        type=one_of("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
        value=text(1024, default="/"),
    )
    return mapping(
        path={**path, "default": {"type": "PathPrefix", "value": "/"}},
        headers=keyed(_value_match(256, 4096, _HEADER), maxItems=16),
        queryParams=keyed(_value_match(256, 1024), maxItems=16),
        method=one_of(*_METHODS),
    )


def _value_match(longest_name: int, longest_value: int, pattern: str | None = None) -> Schema:
    return mapping(
        ("name", "value"),
        name=text(longest_name, 1) | ({"pattern": pattern} if pattern else {}),
        type=one_of("Exact", "RegularExpression", default="Exact"),
        value=text(longest_value, 1),
    )


def _filter(*types: str) -> Schema:
    header = mapping(("name", "value"), name=text(256, 1, pattern=_HEADER), value=text(4096, 1))
    headers = keyed(header, maxItems=16)
    edits = mapping(set=headers, add=headers, remove=array(text(), maxItems=16))
    path = mapping(
        ("type",),
        type=one_of("ReplaceFullPath", "ReplacePrefixMatch"),
        replaceFullPath=text(1024),
        replacePrefixMatch=text(1024),
    )
    redirect = mapping(
        scheme=one_of("http", "https"),
        hostname=text(253, 1, pattern=f"^{HOST}"),
        path=path,
        port=PORT,
        statusCode={"type": "integer", "enum": [301, 302], "default": 302},
    )
    fields = {"requestHeaderModifier": edits, "requestRedirect": redirect}
    if "ResponseHeaderModifier" in types:
        fields["responseHeaderModifier"] = edits
    return mapping(("type",), type=one_of(*types), **fields)


def _backend_filters() -> Schema:
    return array(_filter("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect"), maxItems=16)


def _backend() -> Schema:
    return mapping(
        ("name",),
        group=group(""),
        kind=kind("Service"),
        name=NAME,
        namespace=NAMESPACE,
        port=PORT,
        weight=whole(0, 1_000_000, default=1),
        filters=_backend_filters(),
    )


def _early_backend() -> Schema:
    return mapping(name=text(), namespace=text(default="default"), port=_INTEGER, filters=_backend_filters())


def _parent(port: Schema) -> Schema:
    return mapping(
        ("name",),
        group=group(GROUP),
        kind=kind("Gateway"),
        name=NAME,
        namespace=NAMESPACE,
        port=port,
        sectionName=text(253, 1, pattern=f"^{HOST}"),
    )
