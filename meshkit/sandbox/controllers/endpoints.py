"""The endpoint controller writes the EndpointSlices and the Endpoints of every Service with a selector.

A pod becomes not ready (and ``terminating``) as soon as its deletion is requested, so callers stop using it
before its processes receive SIGTERM. There is one slice for each distinct list of port numbers, because a
named ``targetPort`` may resolve to different numbers in different pods.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import holds
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    is_finished,
    is_terminating,
    key_of,
    owner_reference,
    timestamp,
)

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ENDPOINTS = "endpoints"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE = "topology.kubernetes.io/zone"

Ports = tuple[tuple[str, int, str, str], ...]
"""(name, number, protocol, appProtocol) of each port, resolved for one pod."""


class EndpointController:
    """Reconciles the EndpointSlices of every Service with a selector."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._services: dict[Key, Mapping[str, str]] = {}

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Services, the pods that they select, and their slices."""
        return {"services": self._service, "pods": self._of_pod, SLICES: _of_slice}

    def _service(self, service: Object) -> list[Key]:
        self._services[key_of(service)] = service["spec"].get("selector") or {}
        return [key_of(service)]

    def _of_pod(self, pod: Object) -> list[Key]:
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels")
        return [
            key
            for key, selector in self._services.items()
            if key[0] == namespace and selector and holds({"matchLabels": selector}, labels)
        ]

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Write the slices of one Service from the current state of its pods."""
        service = await self._client.get("services", name, namespace)
        if service is None or is_terminating(service):
            self._services.pop((namespace, name), None)
            await self._client.delete(ENDPOINTS, name, namespace)
            return None
        selector = service["spec"].get("selector")
        if not selector:
            return None
        zones = {
            key_of(node)[1]: (node["metadata"].get("labels") or {}).get(ZONE)
            for node in await self._client.list("nodes")
        }
        groups: dict[Ports, list[Object]] = {}
        for pod in await self._client.list("pods", namespace, selector):
            if (pod.get("status") or {}).get("podIP") and not is_finished(pod):
                groups.setdefault(ports_of(service, pod), []).append(endpoint(service, pod, zones))
        wanted = {item["metadata"]["name"]: item for item in _slices(service, groups)}
        for existing in await self._client.list(SLICES, namespace, {SERVICE_NAME: name, MANAGED_BY: MANAGER}):
            new = wanted.pop(existing["metadata"]["name"], None)
            if new is None:
                await self._client.delete(SLICES, existing["metadata"]["name"], namespace)
            elif any(existing.get(field) != new[field] for field in ("endpoints", "ports")):
                await self._client.update(
                    SLICES, {**existing, "endpoints": new["endpoints"], "ports": new["ports"]}
                )
        for new in wanted.values():
            await self._client.create(SLICES, new)
        await self._write_endpoints(service, groups)
        return None

    async def _write_endpoints(self, service: Object, groups: Mapping[Ports, list[Object]]) -> None:
        """Write the Endpoints object of a Service, the older form of its slices."""
        namespace, name = key_of(service)
        subsets = [subset for ports, endpoints in groups.items() if (subset := _subset(ports, endpoints))]
        existing = await self._client.get(ENDPOINTS, name, namespace)
        if existing is None:
            labels = {
                **(service["metadata"].get("labels") or {}),
                ENDPOINTS_MANAGED_BY: "endpoint-controller",
            }
            if service["spec"].get("clusterIP") == "None":
                labels["service.kubernetes.io/headless"] = ""
            metadata = {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": {LAST_CHANGE: timestamp()},
            }
            await self._client.create(
                ENDPOINTS, {"metadata": metadata, **({"subsets": subsets} if subsets else {})}
            )
        elif (existing.get("subsets") or []) != subsets:
            metadata = {"annotations": {LAST_CHANGE: timestamp()}}
            patch = {"metadata": metadata, "subsets": subsets or None}
            await self._client.merge_patch(ENDPOINTS, name, namespace, patch)


def endpoint(service: Object, pod: Object, zones: Mapping[str, str | None]) -> Object:
    """Return the EndpointSlice entry of one pod, with its host name if that is below the Service's."""
    namespace, name = key_of(pod)
    serving = is_ready(pod)
    ready = serving or bool(service["spec"].get("publishNotReadyAddresses"))
    entry: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": is_terminating(pod)},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]},
    }
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == key_of(service)[1]:
        entry["hostname"] = pod["spec"]["hostname"]
    node = pod["spec"].get("nodeName")
    if node:
        entry["nodeName"] = node
        if zones.get(node):
            entry["zone"] = zones[node]
    return entry


def _subset(ports: Ports, endpoints: list[Object]) -> Object | None:
    """Return the subset of an Endpoints object for endpoints that listen on the same ports."""
    subset: Object = {}
    for entry in sorted(endpoints, key=lambda item: str(item["addresses"])):
        ready, serving = entry["conditions"]["ready"], entry["conditions"]["serving"]
        if entry["conditions"]["terminating"] and not (ready and not serving):
            continue
        address = {"ip": entry["addresses"][0], "targetRef": entry["targetRef"]}
        address |= {field: entry[field] for field in ("hostname", "nodeName") if field in entry}
        subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(address)
    if subset:
        subset["ports"] = [
            {"port": number, "protocol": protocol}
            | ({"name": name} if name else {})
            | ({"appProtocol": app_protocol} if app_protocol else {})
            for name, number, protocol, app_protocol in ports
        ]
    return subset or None


def ports_of(service: Object, pod: Object) -> Ports:
    """Return the Service's ports with the numbers that they have in ``pod``.

    A named port that the pod does not declare is omitted.
    """
    named = {
        port["name"]: int(port["containerPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("name")
    }
    resolved = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        number = named.get(target) if isinstance(target, str) and not target.isdigit() else int(target)
        if number is not None:
            protocol = port.get("protocol", "TCP")
            resolved.append((port.get("name", ""), number, protocol, port.get("appProtocol", "")))
    return tuple(resolved)


def _slices(service: Object, groups: Mapping[Ports, list[Object]]) -> Iterable[Object]:
    namespace, name = key_of(service)
    for ports, endpoints in groups.items():
        suffix = hashlib.sha256(repr(ports).encode()).hexdigest()[:5]
        entries = []
        for port_name, number, protocol, app_protocol in ports:
            entry: Object = {"name": port_name, "port": number, "protocol": protocol}
            if app_protocol:
                entry["appProtocol"] = app_protocol
            entries.append(entry)
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{suffix}",
                "namespace": namespace,
                "labels": {SERVICE_NAME: name, MANAGED_BY: MANAGER},
                "ownerReferences": [owner_reference(service)],
            },
            "addressType": "IPv4",
            "endpoints": sorted(endpoints, key=lambda item: str(item["addresses"])),
            "ports": entries,
        }


def _of_slice(endpoint_slice: Object) -> list[Key]:
    service = (endpoint_slice["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return [(endpoint_slice["metadata"]["namespace"], service)] if service else []
