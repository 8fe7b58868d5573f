"""Content negotiation of request bodies and responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema import bodies, protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
YAML = ("application/yaml", APPLY)
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
_FORMS = {
    ("Table", "meta.k8s.io", "v1"),
    ("PartialObjectMetadata", "meta.k8s.io", "v1"),
    ("PartialObjectMetadataList", "meta.k8s.io", "v1"),
    ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"),
}
_ANY_JSON = ("application/json", "application/*", "*/*", "")


@dataclass(frozen=True)
class Form:
    """Describe the negotiated format of a response.

    ``kind`` is empty for plain JSON, or else Table, PartialObjectMetadata(List) or APIGroupDiscoveryList.
    """

    kind: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """Return the Content-Type of the response.

        Clients of aggregated discovery look for its parameters.
        """
        if self.kind != "APIGroupDiscoveryList":
            return "application/json"
        return "application/json;" + ";".join(f"{key}={value}" for key, value in self.parameters.items())


def wanted(accept: str, *, discovery: bool = False) -> Form:
    """Return the first supported format in an Accept header. Raises ApiError 406."""
    for media_type, parameters in _entries(accept):
        if media_type not in _ANY_JSON:
            continue
        requested = (parameters.get("as", ""), parameters.get("g", ""), parameters.get("v", ""))
        if requested == ("", "", ""):
            return Form()
        if requested in _FORMS and (requested[0] == "APIGroupDiscoveryList") == discovery:
            return Form(requested[0], {key: parameters[key] for key in ("g", "v", "as")})
    raise status.ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    )


def _entries(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in accept.split(","):
        media_type, *rest = (part.strip() for part in entry.split(";"))
        yield media_type, {key: value for key, _, value in (part.partition("=") for part in rest)}


def body(media_type: str, raw: bytes, duplicates: list[str] | None = None) -> Any:
    """Decode a request body; without a media type it is JSON. Raises ApiError 400, 413 or 415.

    ``duplicates`` receives a sentence about each key that a map has more than once.
    """
    if media_type == PROTOBUF:
        return protobuf.decode(raw)
    if media_type in YAML:
        return bodies.read_yaml(raw, duplicates)
    if media_type not in ("", "application/json", "application/octet-stream", *PATCHES):
        raise status.unsupported_media_type(
            f"the body of the request was in an unknown format ({media_type}) - accepted media types "
            "include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    try:
        return bodies.read_json(raw, duplicates)
    except ValueError as error:
        raise status.bad_request(f"the body of the request is not JSON: {error}") from error


def patches(*, custom: bool) -> tuple[str, ...]:
    """Return the media types of the patches that a resource supports.

    Strategic merge patches need merge keys, which only built-in kinds have.
    """
    return tuple(
        media_type
        for media_type, kind in (*PATCHES.items(), (APPLY, "apply"))
        if kind != "strategic" or not custom
    )


def unsupported_patch(*, custom: bool) -> status.ApiError:
    """Return a 415 error for a patch."""
    accepted = ", ".join(patches(custom=custom))
    return status.unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )
