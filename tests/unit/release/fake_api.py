"""An API server's behaviour as far as a release needs it, in memory: resourceVersions, patches, field
ownership.

A stand-in at the seam of the cluster package only: the journal and the lock that use it are the real ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshkit.cluster.api import Resource
from meshkit.errors import Conflict, Rejected
from meshkit.facts import ClusterRef, Kind
from meshkit.intent.release import Release
from meshkit.operations.release.route import route_object, weights_of

Key = tuple[str, str, str]
OWNER = {
    "manager": "argocd",
    "operation": "Apply",
    "apiVersion": "v1",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:http": {}, "f:hosts": {}, "f:rules": {}}},
}


class FakeApi:
    """Objects by kind, namespace and name. ``before_patch`` is called before every JSON patch (to
    interfere).
    """

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.patches: list[Sequence[Mapping[str, Any]]] = []
        self.before_patch: Callable[[], None] = lambda: None
        self.denied: set[str] = set()
        self._version = 0

    def resource(self, kind: Kind) -> Resource:
        return Resource(f"{kind.kind.lower()}s", True)

    def allowed(self, verb: str, group: str, resource: str, namespace: str | None = None) -> bool:
        return f"{verb} {resource}" not in self.denied

    def whoami(self) -> str:
        return "ana"

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind.kind, namespace or "", name)))

    def list(
        self, kind: Kind, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]:
        return [
            copy.deepcopy(obj)
            for (found, where, _), obj in self.objects.items()
            if found == kind.kind and namespace in (None, where) and _selected(obj, labels)
        ]

    def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        if _key(obj) in self.objects:
            raise Conflict(f"{obj['metadata']['name']} exists.", remedy="")
        return self._stored(copy.deepcopy(dict(obj)))

    def apply(self, obj: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        return self._stored(copy.deepcopy(dict(obj)))

    def merge_patch(
        self, kind: Kind, name: str, namespace: str | None, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        obj = self.objects.get((kind.kind, namespace or "", name))
        if obj is None:
            raise Rejected(f"{kind.kind} {name} is not found.", remedy="", status=404)
        asked = patch.get("metadata", {}).get("resourceVersion")
        if asked not in (None, obj["metadata"]["resourceVersion"]):
            raise Conflict("the object has been modified.", remedy="")
        return self._stored(_merged(obj, patch))

    def json_patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        ops: Sequence[Mapping[str, Any]],
        *,
        manager: str,
    ) -> dict[str, Any]:
        self.before_patch()
        obj = copy.deepcopy(self.objects[kind.kind, namespace or "", name])
        for op in ops:
            *path, last = [int(p) if p.isdigit() else p for p in str(op["path"]).split("/")[1:]]
            parent: Any = obj
            for part in path:
                parent = parent[part]
            if op["op"] == "remove":
                del parent[last]
            elif op["op"] == "add" and isinstance(parent, list):
                parent.insert(len(parent) if last == "-" else last, copy.deepcopy(op["value"]))
            elif op["op"] != "test":
                parent[last] = copy.deepcopy(op["value"])
            elif parent[last] != op["value"]:
                raise Rejected(f"testing value {op['path']} failed.", remedy="", status=422)
        self.patches.append(ops)
        if any(str(op["path"]).startswith("/spec/") and op["op"] != "test" for op in ops):
            _own(obj, manager, "f:http" if kind.kind == "VirtualService" else "f:rules")
        return self._stored(obj)

    def _stored(self, obj: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self._version)}
        self.objects[_key(obj)] = obj
        return copy.deepcopy(obj)


class FakeCluster:
    """What a Cluster is to the verbs, around the fake API, with one route in it."""

    def __init__(self, release: Release, mesh: str = "istio") -> None:
        self.context = self.server = "fake"
        self.reason = ""
        self.ref = ClusterRef("fake", "fake")
        self.api = FakeApi()
        self.release, self.mesh = release, mesh
        self.route = route_object(mesh, release)
        self.api.create(_istio_route(release) if mesh == "istio" else _linkerd_route(release))
        self.api.create(_service(release))

    def object(self) -> dict[str, Any]:
        found = self.api.get(self.route.kind, self.route.name, self.route.namespace)
        assert found is not None
        return found

    def weights(self) -> tuple[int, int]:
        """(stable, canary) as they are now."""
        found = weights_of(self.object(), self.route, self.release)
        return found.stable.weight, found.canary.weight

    def split(self) -> dict[str, float]:
        """The same as percent by version, as a ScriptedObserver wants them."""
        stable, canary = self.weights()
        return {self.release.stable: stable, self.release.canary: canary}

    def set_weights(self, stable: int, canary: int) -> None:
        """As someone else would."""
        found = weights_of(self.object(), self.route, self.release)
        route = self.route
        self.api.json_patch(
            route.kind, route.name, route.namespace, found.patch(stable, canary), manager="someone"
        )


def _service(release: Release) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": release.service, "namespace": release.namespace},
        "spec": {"ports": [{"port": release.port}]},
    }


def _istio_route(release: Release) -> dict[str, Any]:
    def to(version: str, weight: int) -> dict[str, Any]:
        return {"destination": {"host": release.service, "subset": version}, "weight": weight}

    http = [
        {"name": "primary-match-1", "match": [{}], "route": [to(release.canary, 100)]},
        {"name": "primary", "route": [to("v0", 0), to(release.stable, 100), to(release.canary, 0)]},
    ]
    meta = {"name": release.service, "namespace": release.namespace, "managedFields": [OWNER]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": meta,
        "spec": {"hosts": [release.service], "http": http},
    }


def _linkerd_route(release: Release) -> dict[str, Any]:
    def to(version: str, weight: int) -> dict[str, Any]:
        return {"kind": "Service", "name": f"{release.service}-{version}", "port": 8080, "weight": weight}

    rules = [
        {"matches": [{}], "backendRefs": [to(release.canary, 1)]},
        {"backendRefs": [to(release.stable, 100), to(release.canary, 0)]},
    ]
    name = f"{release.service}-{release.route}"
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": release.namespace, "managedFields": [OWNER]},
        "spec": {"rules": rules},
    }


def _own(obj: dict[str, Any], manager: str, field: str) -> None:
    """The patching manager takes the atomic list from everybody."""
    kept = []
    for entry in copy.deepcopy(obj["metadata"].get("managedFields") or []):
        entry["fieldsV1"].get("f:spec", {}).pop(field, None)
        if entry["fieldsV1"].get("f:spec"):
            kept.append(entry)
    mine = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {field: {}}},
    }
    obj["metadata"]["managedFields"] = [*kept, mine]


def _key(obj: Mapping[str, Any]) -> Key:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    found = dict(old) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found


def _selected(obj: Mapping[str, Any], labels: str | None) -> bool:
    own = obj["metadata"].get("labels") or {}
    wanted = [part.partition("=") for part in (labels or "").split(",") if part]
    return all(own.get(name) == value if sign else name in own for name, sign, value in wanted)
