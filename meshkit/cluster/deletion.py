"""Delete objects, but never a namespace, definition or release that contains objects of others."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.helm import Helm
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.metadata import title
from meshkit.meshes import registry

GONE_TIMEOUT_S = 60.0
_DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_SECRET = Kind("v1", "Secret")
_MADE_BY_KUBERNETES = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
BOOKKEEPING_KINDS = ("Event", "Endpoints", "EndpointSlice", "PodMetrics", "Lease")
"""Kinds that Kubernetes and control planes write for themselves, which do not count as objects of others."""


HOLDERS = (_DEFINITION.kind, "Namespace", RELEASE.kind)
"""The kinds whose deletion deletes other objects too."""


def remove(cluster: Cluster, live: Object, *, foreground: bool = False) -> None:
    """Delete this object and wait until it is gone; with ``foreground``, also its dependents.

    Raises ``TimedOut`` after 60 s. Helm uninstalls a release and waits by itself.
    """
    kind, meta = Kind(live["apiVersion"], live["kind"]), live["metadata"]
    namespace = meta.get("namespace")
    if kind == RELEASE:
        Helm(cluster).delete(kind, meta["name"], namespace)
        return
    if cluster.api.delete(kind, meta["name"], namespace, uid=meta["uid"], foreground=foreground):
        return

    def gone(present: Mapping[str, Any] | None) -> bool:
        return present is None or present["metadata"]["uid"] != meta["uid"]

    cluster.api.wait(kind, meta["name"], namespace, gone, GONE_TIMEOUT_S, "gone")


def held(cluster: Cluster, live: Object, apart: Container[str] = ()) -> list[str]:
    """The titles of objects of others that the deletion of a namespace, definition or release would delete.

    ``apart`` are the titles of objects that do not count, because they are deleted before.
    """
    api = cluster.api
    match live["kind"]:
        case _DEFINITION.kind:
            found = _of_definition(api, live)
        case "Namespace":
            kinds = [kind for kind in api.namespaced_kinds() if kind.kind not in BOOKKEEPING_KINDS]
            inside = [obj for kind in kinds for obj in api.list(kind, live["metadata"]["name"])]
            found = [obj for obj in inside if is_foreign(obj)]
        case RELEASE.kind:
            found = [obj for each in _definitions_of(api, live) for obj in _of_definition(api, each)]
        case _:
            found = []
    return [name for name in map(title, found) if name not in apart]


def goes_with(cluster: Cluster, release: Object) -> set[str]:
    """The titles of the objects that Helm deletes with a release, including Helm's records of the release."""
    meta, objects = release["metadata"], release["spec"]["objects"]
    records = cluster.api.list(_SECRET, meta["namespace"], labels=f"owner=helm,name={meta['name']}")
    return {name for name, obj in objects.items() if not _is_kept(obj)} | set(map(title, records))


def _is_kept(obj: Object) -> bool:
    return (obj["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"


def stays(what: str, inside: Sequence[str]) -> str:
    """The message for an object that is not deleted because it contains objects of others."""
    return f"{what} stays: it holds {', '.join(inside[:3])}{' and more' if len(inside) > 3 else ''}."


def is_foreign(obj: Object) -> bool:
    """Whether an object is neither created by Kubernetes or a control plane, nor owned by another object."""
    meta = obj["metadata"]
    if meta.get("ownerReferences") or meta.get("deletionTimestamp"):
        return False
    if obj["kind"] == "ConfigMap" and meta["name"] in registry.own_config_maps():
        return False
    return (obj["kind"], meta["name"]) not in _MADE_BY_KUBERNETES


def _of_definition(api: Api, definition: Object) -> list[dict[str, Any]]:
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v["storage"])
    return list(api.list(Kind(f"{spec['group']}/{version}", spec["names"]["kind"])))


def _definitions_of(api: Api, release: Object) -> list[dict[str, Any]]:
    """The definitions that Helm deletes with a release: all without the resource policy ``keep``."""
    objects = release["spec"]["objects"].values()
    names = [
        obj["metadata"]["name"] for obj in objects if obj["kind"] == _DEFINITION.kind and not _is_kept(obj)
    ]
    found = [api.get(_DEFINITION, name) for name in names]
    return [definition for definition in found if definition]
