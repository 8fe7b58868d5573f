"""Parse the paths of the API into resource, object and subresource."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

NAMESPACE_SUBRESOURCES = ("finalize", "status")


@dataclass(frozen=True)
class Route:
    """Represent a parsed resource path.

    ``tail`` is the path after a proxy subresource, with its leading slash.
    """

    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    tail: str = ""


def parse(raw_path: str) -> Route | None:
    """Return the route of a percent-encoded path, or None when it names no resource.

    The path is decoded before it is split, as Kubernetes does, so ``%2F`` acts as a separator.
    """
    path = unquote(raw_path)
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = None
    namespaced = rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES
    if namespaced:
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if len(rest) > 3 and subresource != "proxy":
        return None
    proxied = path.lstrip("/").split("/")[len(parts) - len(rest) + 3 :] if subresource == "proxy" else []
    tail = "/".join(["", *proxied])
    return Route(group, version, rest[0], namespace, name, subresource, tail)
