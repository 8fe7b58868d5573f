"""The world that every case is put into: Services, and pods that have Linkerd's proxy.

It stands on the real API server, so both sides read the very same objects. kwok says of the pods that they
run, with an address each; no container exists.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.cluster.api import Api
from meshkit.facts import Kind
from meshkit.kube.steps import Step
from meshkit.meshes.definitions import crds
from meshkit.meshes.linkerd.definitions import definitions
from meshkit.meshes.linkerd.meaning import sidecar
from meshkit.meshes.linkerd.meaning.route_status import CONTROLLER
from meshkit.meshes.model.registry import Registry
from tests.conformance.definitions import serve
from tests.conformance.linkerd.control_plane import NAMESPACE

Object = dict[str, Any]
OWNER, OF_CASE = "conformance", "conformance-case"
PORTS = {"front": 8080, "admin": 9090}
LISTENS = {"INBOUND": "0.0.0.0:4143", "CONTROL": "0.0.0.0:4190", "ADMIN": "0.0.0.0:4191"}
"""Where the destination controller reads that a pod's proxy listens."""
SERVICES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("shop", "web"): {"app": "web"},
    ("shop", "web-v1"): {"app": "web", "version": "v1"},
    ("shop", "web-v2"): {"app": "web", "version": "v2"},
    ("shop", "api"): {"app": "api"},
    ("other", "store"): {"app": "store"},
}
PODS: tuple[tuple[str, str, Mapping[str, str], Mapping[str, str]], ...] = (
    ("shop", "web-v1-1", {"app": "web", "version": "v1"}, {}),
    ("shop", "web-v2-1", {"app": "web", "version": "v2"}, {}),
    ("shop", "api-1", {"app": "api"}, {}),
    (
        "shop",
        "strict-1",
        {"app": "strict"},
        {"config.linkerd.io/default-inbound-policy": "all-authenticated"},
    ),
    ("shop", "opaque-1", {"app": "opaque"}, {"config.linkerd.io/opaque-ports": "9090"}),
    ("shop", "pay-1", {"name": "pay"}, {}),
    ("other", "store-1", {"app": "store"}, {}),
)
"""Namespace, name, labels and annotations."""
ROUTES = ("HTTPRoute", "GRPCRoute")
SETTLE_S = 1.0
SETTLED_AT_MOST_S = 15.0


class World:
    """``open`` it, then ``apply`` and ``remove`` the objects of a case."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._own: dict[tuple[str, str, str], Object] = {}
        self._touched = 0

    def define(self) -> None:
        """Serve the definitions, and make what the controllers need to start."""
        serve(self.api, [*definitions(), *crds("gateway_api")])
        self._add(_object("v1", "Namespace", NAMESPACE))
        labels = {"matchLabels": {"app": "linkerd"}}
        template = {"metadata": {"labels": {"app": "linkerd"}}, "spec": {"containers": [_container("x")]}}
        spec = {"replicas": 0, "selector": labels, "template": template}
        self._add(_object("apps/v1", "Deployment", "linkerd-destination", NAMESPACE, spec=spec))

    def open(self) -> None:
        """Make the Services and pods, and wait until the pods have addresses."""
        for namespace in ("shop", "other"):
            self._add(_object("v1", "Namespace", namespace))
            self.api.wait(Kind("v1", "ServiceAccount"), "default", namespace, bool, 60, "there")
        for (namespace, name), selector in SERVICES.items():
            ports = [{"name": each, "port": port, "targetPort": port} for each, port in PORTS.items()]
            self._add(_object("v1", "Service", name, namespace, spec={"selector": selector, "ports": ports}))
        for namespace, name, labels, notes in PODS:
            self._add(_pod(namespace, name, labels, notes))
        for namespace, name, *_ in PODS:
            self.api.wait(Kind("v1", "Pod"), name, namespace, _has_address, 60, "running")

    def apply(self, objects: Iterable[Object]) -> None:
        """Apply the objects of a case, and wait until the controllers have seen them.

        An object of the world gets the fields of the case's objects besides its own.
        """
        objects = list(objects)
        for number, item in enumerate(objects):
            self.api.apply(item, manager=f"{OF_CASE}-{number}", force=True)
        deadline = time.monotonic() + SETTLED_AT_MOST_S
        routes = [item for item in objects if item["kind"] in ROUTES]
        while time.monotonic() < deadline and not all(self._is_told(item) for item in routes):
            time.sleep(0.2)
        time.sleep(SETTLE_S)

    def remove(self, objects: Iterable[Object]) -> None:
        """Delete the objects of a case; give those of the world their own fields back, and no others."""
        for number, item in reversed(list(enumerate(objects))):
            meta = {key: item["metadata"][key] for key in ("name", "namespace") if key in item["metadata"]}
            if _key(item) in self._own:
                bare = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": meta}
                self.api.apply(bare, manager=f"{OF_CASE}-{number}", force=True)
                self.api.apply(self._own[_key(item)], manager=OWNER, force=True)
            else:
                self.api.delete(Kind(item["apiVersion"], item["kind"]), meta["name"], meta.get("namespace"))

    def touch(self, service: str, namespace: str) -> None:
        """Change something about a Service that nobody reads.

        Linkerd's destination controller forgets the opaque ports of a Service when its last listener leaves,
        and knows them again when the Service changes.
        """
        self._touched += 1
        item = _object("v1", "Service", service, namespace)
        item["metadata"]["annotations"] = {"conformance/touched": str(self._touched)}
        self.api.apply(item, manager="conformance-touch", force=True)

    def registry(self) -> Registry:
        """What meshkit reads of this cluster."""
        found = [item for kind in sidecar.KINDS.values() for item in self.api.list(kind)]
        return Registry.reading(found, sidecar.KINDS, NAMESPACE)

    def conditions(self, item: Object) -> dict[str, str]:
        """What Linkerd's status says of a route, by parent and type."""
        meta = item["metadata"]
        found = self.api.get(Kind(item["apiVersion"], item["kind"]), meta["name"], meta["namespace"]) or {}
        return {
            f"{parent['parentRef']['kind']} {parent['parentRef']['name']} {each['type']}": (
                f"{each['status']} {each['reason']}"
            )
            for parent in (found.get("status") or {}).get("parents") or ()
            if parent["controllerName"] == CONTROLLER
            for each in parent["conditions"]
        }

    def _is_told(self, item: Object) -> bool:
        """Whether a route has a status; one whose parents Linkerd does not know gets none."""
        known = any(
            each.get("kind") in ("Service", "Server") for each in item["spec"].get("parentRefs") or ()
        )
        return not known or bool(self.conditions(item))

    def _add(self, item: Object) -> None:
        self._own[_key(item)] = item
        self.api.apply(item, manager=OWNER, force=True)


def objects_of(steps: Iterable[Step]) -> list[Object]:
    """The objects of a plan."""
    return [dict(step.object) for step in steps]


def _key(item: Object) -> tuple[str, str, str]:
    return (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])


def _object(api: str, kind: str, name: str, namespace: str | None = None, **fields: Any) -> Object:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **fields}


def _container(name: str, **fields: Any) -> Object:
    return {"name": name, "image": "example.test/none", **fields}


def _pod(namespace: str, name: str, labels: Mapping[str, str], notes: Mapping[str, str]) -> Object:
    """A pod as Linkerd's injector leaves it, as far as the controllers look at it."""
    ports = [{"name": each, "containerPort": port} for each, port in PORTS.items()]
    probe = {"httpGet": {"path": "/ready", "port": "front"}}
    app = _container("app", ports=ports, readinessProbe=probe)
    listens = [{"name": f"LINKERD2_PROXY_{name}_LISTEN_ADDR", "value": at} for name, at in LISTENS.items()]
    spec = {"nodeName": "node-a", "containers": [_container("linkerd-proxy", env=listens), app]}
    pod = _object("v1", "Pod", name, namespace, spec=spec)
    pod["metadata"]["labels"] = {**labels, "linkerd.io/control-plane-ns": NAMESPACE}
    pod["metadata"]["annotations"] = dict(notes)
    return pod


def _has_address(pod: Mapping[str, Any] | None) -> bool:
    return bool(((pod or {}).get("status") or {}).get("podIP"))
