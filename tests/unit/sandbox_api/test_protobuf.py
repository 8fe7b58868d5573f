"""Protobuf bodies, written here by hand as kubectl writes them."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from meshkit.meshes.definitions import crds
from meshkit.sandbox.api.schema import protobuf
from meshkit.sandbox.api.schema.published import protobuf_messages
from meshkit.sandbox.api.status import ApiError
from tests.unit.sandbox_api.protobuf_bytes import (
    envelope,
    field,
    varint,
)

METADATA = field(1, field(1, "c") + field(2, "") + field(3, "default") + field(8, b""))


def test_maps_and_bytes() -> None:
    data = field(2, field(1, "k") + field(2, b"v"))
    body = envelope("v1", "Secret", METADATA + data + field(3, "Opaque"))
    assert protobuf.decode(body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "c", "namespace": "default"},
        "data": {"k": "dg=="},
        "type": "Opaque",
    }


def test_embedded_structs_int_or_string_and_a_zero_that_means_something() -> None:
    container = field(1, "c") + field(11, field(1, field(2, field(2, field(1, 0) + field(2, 8080)))))
    pod = field(2, field(2, container))
    body = envelope("apps/v1", "Deployment", METADATA + field(2, field(1, 0) + field(3, pod)))
    assert protobuf.decode(body)["spec"] == {
        "replicas": 0,
        "template": {"spec": {"containers": [{"name": "c", "readinessProbe": {"httpGet": {"port": 8080}}}]}},
    }


def test_delete_options_of_any_group() -> None:
    body = envelope("apps/v1", "DeleteOptions", field(1, 0) + field(4, "Background"))
    decoded = protobuf.decode(body)
    assert (decoded["gracePeriodSeconds"], decoded["propagationPolicy"]) == (0, "Background")


def test_a_kind_that_is_not_read_is_named() -> None:
    with pytest.raises(ApiError, match="kind HorizontalPodAutoscaler") as refused:
        protobuf.decode(envelope("autoscaling/v2", "HorizontalPodAutoscaler", b""))
    assert refused.value.code == 415


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00\xff\xff", b"k8s\x00" + field(2, b"x"), b"k8s\x00\x0a\xff"]
)
def test_a_broken_body_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.decode(body)
    assert refused.value.code == 400


EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


def encoded(kind: str, value: Any) -> bytes:
    """An example value for a field of this kind."""
    name = kind.removeprefix(f"{EXTENSIONS}.")
    if kind == "string":
        return str(value).encode()
    if name == "JSON":
        return field(1, json.dumps(value))
    if name == "JSONSchemaPropsOrArray":
        return field(1, encoded(f"{EXTENSIONS}.JSONSchemaProps", value))
    if name == "JSONSchemaPropsOrBool":
        is_bool = isinstance(value, bool)
        return field(1, int(value)) if is_bool else field(1, 1) + field(2, encoded(SCHEMA, value))
    out = b""
    for number, (member, below, flag) in protobuf_messages()[kind].items():
        if member not in value:
            continue
        if flag == "map":
            pairs = value[member].items()
            out += b"".join(field(int(number), field(1, k) + field(2, encoded(below, v))) for k, v in pairs)
        else:
            each_of = value[member] if flag == "repeated" else [value[member]]
            out += b"".join(one(int(number), below, each) for each in each_of)
    return out


def one(number: int, kind: str, value: Any) -> bytes:
    if kind in ("bool", "int32", "int64"):
        return field(number, int(value))
    if kind == "double":
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return field(number, encoded(kind, value))


SCHEMA = f"{EXTENSIONS}.JSONSchemaProps"
ODD = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "versions": [
            {
                "name": "v1",
                "served": False,
                "storage": False,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "number": {"type": "number", "minimum": 0.0, "default": 0},
                            "text": {"default": "", "maxLength": 0, "enum": ["", "a"]},
                            "flag": {"default": False},
                            "free": {"x-kubernetes-preserve-unknown-fields": True, "default": {}},
                            "open": {"additionalProperties": True},
                            "closed": {"additionalProperties": False},
                            "any": {"items": {}, "additionalProperties": {}},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.mark.parametrize(
    "crd", [ODD, *crds("istio"), *crds("gateway_api")], ids=lambda crd: crd["metadata"]["name"]
)
def test_definitions_of_custom_resources_arrive_whole(crd: dict[str, Any]) -> None:
    message = encoded(f"{EXTENSIONS}.CustomResourceDefinition", crd)
    decoded = protobuf.decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", message))
    assert decoded["spec"] == crd["spec"]
