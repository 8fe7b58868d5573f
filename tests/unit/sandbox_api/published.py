"""What the server says of one resource, and requests to it that ought to succeed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from meshkit.sandbox.api.schema.registry import SUBRESOURCES, Registry
from tests.unit.sandbox_api.conftest import WIDGETS
from tests.unit.sandbox_api.server import Connection

POD = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
LABELS = {"app": "x"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {
    "selector": {"matchLabels": LABELS},
    "template": {**TEMPLATE, "spec": {"containers": POD["containers"]}},
}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
NEEDED: dict[str, dict[str, Any]] = {
    "apiservices": {"spec": {"groupPriorityMinimum": 1, "versionPriority": 1}},
    "cronjobs": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}}},
    "clusterrolebindings": {"roleRef": ROLE},
    "controllerrevisions": {"data": {"a": "b"}, "revision": 1},
    "daemonsets": {"spec": WORKLOAD},
    "deployments": {"spec": WORKLOAD},
    "endpointslices": {"addressType": "IPv4"},
    "events": {"involvedObject": {"namespace": "default"}},
    "horizontalpodautoscalers": {
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "x"}}
    },
    "jobs": {"spec": {"template": {"spec": POD}}},
    "limitranges": {"spec": {"limits": []}},
    "pods": {"spec": POD},
    "replicasets": {"spec": WORKLOAD},
    "rolebindings": {"roleRef": ROLE},
    "selfsubjectaccessreviews": {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
    "selfsubjectrulesreviews": {"spec": {"namespace": "default"}},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "statefulsets": {"spec": WORKLOAD},
    "storageclasses": {"provisioner": "example.com/p"},
    "subjectaccessreviews": {
        "spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    },
    "tokenreviews": {"spec": {"token": "t"}},
    "validatingadmissionpolicybindings": {"spec": {"policyName": "x", "validationActions": ["Deny"]}},
    "widgets": {"spec": {"size": 1}},
}
"""What an object of the kind needs beside its name."""
STATUS: dict[str, dict[str, Any]] = {
    "CronJob": {"lastScheduleTime": "2026-01-01T00:00:00Z"},
    "APIService": {"conditions": [{"type": "Odd", "status": "True"}]},
    "CustomResourceDefinition": {"conditions": [{"type": "Odd", "status": "True"}]},
    "DaemonSet": {"numberReady": 1},
    "Deployment": {"replicas": 1},
    "HorizontalPodAutoscaler": {"desiredReplicas": 1},
    "Ingress": {"loadBalancer": {"ingress": [{"ip": "127.0.0.9"}]}},
    "Job": {"active": 1},
    "PodDisruptionBudget": {
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "disruptionsAllowed": 1,
        "expectedPods": 1,
    },
    "ReplicaSet": {"replicas": 1},
    "ResourceQuota": {"used": {"pods": "1"}},
    "StatefulSet": {"replicas": 1},
    "ValidatingAdmissionPolicy": {"observedGeneration": 1},
    "Service": {"loadBalancer": {"ingress": [{"ip": "127.0.0.9"}]}},
}
"""A status of the kind; of the others, a phase."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PATCHES = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
    "application/json",
}
VERBS = {"post": "create", "put": "update", "patch": "patch"}
NOT_SERVED = (404, 405, 415, 501)


class Operation(NamedTuple):
    """One method at one address; of a PATCH, one media type."""

    path: str
    method: str
    media_type: str = ""


class Server:
    """One server for all tests of this file."""

    def __init__(self, run: Callable[..., Any], to: Connection) -> None:
        self.run = run
        self.to = to
        self.count = 0

    async def get(self, path: str, **headers: str) -> Any:
        code, body, _ = await self.to.request("GET", path, headers=headers)
        assert code == 200, body
        return body

    async def resource(self, key: str) -> Subject:
        plural, _, group = key.partition(".")
        served = Registry().by_key(key)
        root = served.path if served is not None else f"/apis/{group}/v1"
        document = await self.get(f"/openapi/v3{root}")
        listed = {each["name"]: each for each in (await self.get(root))["resources"]}
        return Subject(self, plural, group, root, document["paths"], listed)


class Subject:
    """One resource: what is said of it, and requests to it that ought to succeed."""

    def __init__(
        self, server: Server, plural: str, group: str, root: str, paths: Any, listed: dict[str, Any]
    ) -> None:
        self.server = server
        self.plural = plural
        self.group = group
        self.root = root
        self.paths = paths
        self.listed = listed
        self.kind = listed[plural]["kind"]
        self.namespaced = listed[plural]["namespaced"]
        self.is_stored = "get" in listed[plural]["verbs"]

    # --- what is published

    @property
    def collection(self) -> str:
        return f"{self.root}/namespaces/{{namespace}}/{self.plural}" if self.namespaced else self.everywhere

    @property
    def everywhere(self) -> str:
        return f"{self.root}/{self.plural}"

    @property
    def item(self) -> str:
        return f"{self.collection}/{{name}}"

    @property
    def addresses(self) -> list[str]:
        """Everywhere that something of this resource could be, in the way of OpenAPI."""
        below = [
            *SUBRESOURCES,
            "proxy/{path}",
            "attach",
            "binding",
            "ephemeralcontainers",
            "exec",
        ]
        misplaced = f"{self.root}/namespaces/{{namespace}}/{self.plural}"
        found = [
            self.everywhere,
            self.collection,
            misplaced,
            self.item,
            *(f"{self.item}/{each}" for each in below),
        ]
        if self.namespaced:
            found.append(f"{self.everywhere}/{{name}}")
        return list(dict.fromkeys(found))

    def operation(self, path: str, method: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.paths.get(path, {}).get(method.lower())
        return found

    def parameters(self, path: str, method: str) -> set[str]:
        found = self.operation(path, method) or {}
        return {each["name"] for each in found.get("parameters", ()) if each["in"] == "query"}

    def published(self) -> set[Operation]:
        found = set()
        for path in self.addresses:
            for method in METHODS:
                operation = self.operation(path, method)
                if operation is None:
                    continue
                if method == "PATCH" and not connects(path):
                    types = operation["requestBody"]["content"]
                    found |= {Operation(path, method, each) for each in types}
                else:
                    found.add(Operation(path, method))
        return found

    # --- requests

    def config(self, name: str, path: str = "") -> dict[str, Any]:
        """The body of a write: at some subresources that of another kind."""
        version = self.root.removeprefix("/apis/").removeprefix("/api/")
        kind, content = self.kind, copy.deepcopy(NEEDED.get(self.plural, {}))
        if path.endswith("/scale"):
            version, kind, content = "autoscaling/v1", "Scale", {"spec": {"replicas": 3}}
        elif path.endswith("/eviction"):
            version, kind, content = "policy/v1", "Eviction", {}
        elif path.endswith("/token"):
            version, kind, content = "authentication.k8s.io/v1", "TokenRequest", {"spec": {"audiences": []}}
        metadata: dict[str, Any] = {"name": name}
        if not self.is_stored:
            metadata = {}
        elif self.plural == "customresourcedefinitions" and kind == self.kind:
            content = copy.deepcopy(WIDGETS)
            plural, _, group = name.partition(".")
            content["spec"] |= {"group": group, "names": {"plural": plural, "kind": "Odd"}}
        return {**content, "apiVersion": version, "kind": kind, "metadata": metadata}

    async def made(self) -> str:
        """The name of a new object."""
        self.server.count += 1
        name = f"x{self.server.count}"
        if self.plural == "customresourcedefinitions":
            name += ".example.org"
        if self.is_stored:
            new = self.config(name)
            new["metadata"]["annotations"] = {"made": "here"}
            await self.server.to.server.client.create(self.key, new)
        return name

    @property
    def key(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    async def stored(self, name: str) -> Any:
        return await self.server.to.server.client.get(self.key, name)

    async def send(
        self,
        operation: Operation,
        name: str,
        query: str = "",
        odd: str = "",
        change: dict[str, Any] | None = None,
    ) -> tuple[int, Any]:
        """Send what the operation takes; ``odd`` is a field that no kind knows."""
        path, method, media_type = operation
        url = path.format(namespace="default", name=name, path="a")
        if method in ("GET", "HEAD"):
            query = query or "limit=1"
        if method == "DELETE" and not path.endswith("}"):
            query += "&labelSelector=none%3Dsuch"
        body: Any = self.config(
            name if "{name}" in path else f"{name}z".replace(".example.orgz", "z.example.org"), path
        )
        for field, value in (change or {}).items():
            body[field] = {**body.get(field, {}), **value}
        if method == "PATCH" and media_type != "application/apply-patch+yaml":
            body = operations(change or {}) if "json-patch" in media_type else copy.deepcopy(change or {})
        if odd and isinstance(body, dict):
            body[odd] = 1
        elif odd:
            body.append({"op": "add", "path": f"/{odd}", "value": 1})
        if "apply" in media_type:
            query += "" if "fieldManager" in query else "&fieldManager=applier"
            query += "" if "force" in query else "&force=true"
        sent = method in ("POST", "PUT", "PATCH")
        code, answer, _ = await self.server.to.request(
            method,
            f"{url}?{query}",
            data=json.dumps(body).encode() if sent else None,
            headers={"Content-Type": media_type or "application/json"} if sent else {},
        )
        return code, answer

    async def is_served(self, operation: Operation) -> bool:
        code, answer = await self.send(operation, await self.made())
        if code in NOT_SERVED:
            return False
        # A pod of these tests has no address for its proxy, and no request of theirs asks for a WebSocket.
        waits = {"/proxy": 503, "/portforward": 400}
        refused = next((known for part, known in waits.items() if part in operation.path), None)
        assert code in (200, 201, refused), (operation, code, answer)
        return True

    def candidates(self) -> Iterator[Operation]:
        for path in self.addresses:
            for method in METHODS:
                types = PATCHES if method == "PATCH" and not connects(path) else {""}
                yield from (Operation(path, method, each) for each in sorted(types))


def connects(path: str) -> bool:
    """Whether a request there reaches a pod instead of an object."""
    return path.endswith("/portforward") or "/proxy" in path


def operations(change: dict[str, Any]) -> list[dict[str, Any]]:
    """A merge patch of a field or two as a JSON patch."""
    return [
        {"op": "add", "path": f"/{field}", "value": value}
        if field == "status"
        else {"op": "add", "path": f"/{field}/{name}", "value": each}
        for field, value in change.items()
        for name, each in value.items()
    ]


def writes(subject: Subject, parameter: str) -> list[Operation]:
    """The operations that publish a parameter."""
    return sorted(
        each for each in subject.published() if parameter in subject.parameters(each.path, each.method)
    )


def noticeable(path: str, kind: str) -> dict[str, Any]:
    if path.endswith("/scale"):
        return {"spec": {"replicas": 4}}
    if path.endswith("/status"):
        return {"status": STATUS.get(kind, {"phase": "Odd"})}
    return {"metadata": {"labels": {"odd": "one"}}}
