"""The pods and endpoints that the workloads and Services of files would have in a cluster with a mesh.

Every pod is ready, and has a sidecar where the mesh's injection rules ask for one. Addresses are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.kube.metadata import annotations_of
from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import selects
from meshkit.meshes.base import Mesh
from meshkit.meshes.model.pods import target_port

_CLUSTER_WIDE = frozenset(
    {
        *("Namespace", "Node", "PersistentVolume", "StorageClass", "PriorityClass", "RuntimeClass"),
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "APIService", "IngressClass"),
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "GatewayClass"),
    }
)
_MANY = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout")
_ONE = ("DaemonSet", "Job")
_MOST_PODS = 250
"""Pods made for one workload; more change nothing but the number of endpoints."""


def expected(objects: Iterable[Object], mesh: Mesh) -> Snapshot:
    """The objects, each in a namespace, with the pods and EndpointSlices that a cluster would add."""
    placed = [addressed(_placed(each), number) for number, each in enumerate(objects)]
    spaces = {each["metadata"]["name"]: each for each in placed if each["kind"] == "Namespace"}
    placed = [_annotated(each, spaces, mesh) if each["kind"] == "Service" else each for each in placed]
    pods: list[Object] = []
    for item in placed:
        for number, (template, owner) in enumerate(_templates(item)):
            pods.append(_pod(item, template, owner, number, len(pods), spaces, mesh))
    services = [each for each in placed if each["kind"] == "Service"]
    placed += [piece for each in placed if each["kind"] == "Endpoints" for piece in _mirrored(each)]
    given = {
        (each["metadata"]["namespace"], service_of(each))
        for each in placed
        if each["kind"] == "EndpointSlice"
    }
    slices = [
        piece
        for service in services
        if (service["metadata"]["namespace"], service["metadata"]["name"]) not in given
        for piece in endpoint_slices(service, pods)
    ]
    kept = (each for each in placed if each["kind"] != "Pod")
    return Snapshot((*kept, *pods, *slices))


def endpoint_slices(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The EndpointSlices that a cluster makes for a Service: for each port, the ready pods it selects."""
    ready = [pod for pod in pods if is_ready(pod) and (pod.get("status") or {}).get("podIP")]
    ports = (service.get("spec") or {}).get("ports") or ()
    return [piece for port in ports for piece in _slices(service, port, ready)]


def _placed(item: Object) -> Object:
    """The object with a ``spec``, and with the namespace ``default`` if it names none."""
    whole = {**item, "spec": item.get("spec") or {}}
    if item["kind"] in _CLUSTER_WIDE or item["metadata"].get("namespace"):
        return whole
    return {**whole, "metadata": {**item["metadata"], "namespace": "default"}}


def addressed(item: Object, number: int) -> Object:
    """A Service with a cluster address, which the API server gives it."""
    spec = item.get("spec") or {}
    if item["kind"] != "Service" or spec.get("clusterIP") or spec.get("type") == "ExternalName":
        return item
    return {**item, "spec": {**spec, "clusterIP": f"10.0.{number >> 8 & 255}.{number & 255}"}}


def _templates(item: Object) -> Iterator[tuple[Object, list[Mapping[str, str]]]]:
    """The pod template of each pod of a workload, and the owner of these pods."""
    spec = item.get("spec") or {}
    owner: list[Mapping[str, str]] = [{"kind": item["kind"], "name": item["metadata"]["name"]}]
    if item["kind"] == "Pod":
        yield item, list(item["metadata"].get("ownerReferences") or ())
    elif item["kind"] == "CronJob":
        yield (spec.get("jobTemplate") or {}).get("spec", {}).get("template") or {}, owner
    elif item["kind"] in (*_MANY, *_ONE):
        wanted = spec.get("replicas") if item["kind"] in _MANY else 1
        for _ in range(min(1 if wanted is None else int(wanted), _MOST_PODS)):
            yield spec.get("template") or {}, owner


def _pod(
    item: Object,
    template: Object,
    owner: list[Mapping[str, str]],
    number: int,
    total: int,
    spaces: Mapping[str, Object],
    mesh: Mesh,
) -> Object:
    meta, written = item["metadata"], template.get("metadata") or {}
    spec = dict(template.get("spec") or {})
    home = _home(meta["namespace"], spaces)
    carried, annotated = dict(written.get("labels") or {}), dict(written.get("annotations") or {})
    rules, proxy = mesh.injection, mesh.meaning.PROXY
    ready = {"metadata": written, "spec": spec}
    if rules.runs_sidecar(ready) or rules.expects_sidecar(ready, home):
        carried |= dict(proxy.pod_labels)
        annotated = {**_inherited(home, proxy.inherited_annotations), **annotated}
        if not rules.runs_sidecar(ready):
            spec["containers"] = [*(spec.get("containers") or ()), {"name": rules.sidecar, "image": ""}]
    name = meta["name"] if item["kind"] == "Pod" else f"{meta['name']}-{number}"
    if item["kind"] == "StatefulSet":
        spec |= {"hostname": name, "subdomain": (item.get("spec") or {}).get("serviceName", "")}
    address = f"10.{64 + (total >> 16)}.{total >> 8 & 255}.{total & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "uid": f"{meta['namespace']}/{item['kind']}/{name}",
            "labels": carried,
            "annotations": annotated,
            "ownerReferences": owner,
        },
        "spec": spec,
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _annotated(service: Object, spaces: Mapping[str, Object], mesh: Mesh) -> Object:
    """A Service with the annotations that the mesh's injector adds."""
    meta = service["metadata"]
    added = mesh.injection.of_service(service, _home(meta["namespace"], spaces))
    if not added:
        return service
    return {**service, "metadata": {**meta, "annotations": {**annotations_of(service), **added}}}


def _home(name: str, spaces: Mapping[str, Object]) -> Object:
    return spaces.get(name) or {"kind": "Namespace", "metadata": {"name": name}}


def _inherited(home: Object, prefix: str) -> dict[str, str]:
    """The annotations of a namespace that its pods get from the injector."""
    return {key: value for key, value in annotations_of(home).items() if prefix and key.startswith(prefix)}


def _slices(service: Object, port: Mapping[str, Any], pods: Iterable[Object]) -> Iterator[Object]:
    """A slice for each number that the port has in pods: a named port may have several."""
    meta, selector = service["metadata"], (service.get("spec") or {}).get("selector") or {}
    by_number: dict[int, list[Object]] = {}
    for pod in pods:
        if selector and pod["metadata"]["namespace"] == meta["namespace"] and selects(selector, pod):
            by_number.setdefault(target_port(pod, port) or 0, []).append(pod)
    by_number.pop(0, None)
    for place, (number, chosen) in enumerate((by_number or {0: []}).items()):
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            }
            for pod in chosen
        ]
        name = f"{meta['name']}-{port['port']}" + (f"-{place}" if place else "")
        yield _slice(service, name, [{**_name(port), "port": number}], endpoints)


def _slice(
    service: Object, name: str, ports: Sequence[Mapping[str, Any]], endpoints: Sequence[Mapping[str, Any]]
) -> Object:
    meta = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {"kubernetes.io/service-name": meta["name"]},
        },
        "ports": ports,
        "endpoints": endpoints,
    }


def _mirrored(item: Object) -> list[Object]:
    """The EndpointSlices that a cluster makes of Endpoints, one for each subset."""
    found = []
    for number, subset in enumerate(item.get("subsets") or ()):
        endpoints = [
            {
                "addresses": [each["ip"]],
                "conditions": {"ready": True},
                "targetRef": each.get("targetRef") or {},
            }
            for each in subset.get("addresses") or ()
        ]
        ports = [{**_name(port), "port": port["port"]} for port in subset.get("ports") or ()]
        found.append(_slice(item, f"{item['metadata']['name']}-mirrored-{number}", ports, endpoints))
    return found


def _name(port: Mapping[str, Any]) -> Mapping[str, str]:
    return {"name": port["name"]} if port.get("name") else {}


def service_of(piece: Object) -> str:
    """The name of the Service that an EndpointSlice belongs to."""
    return str((piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name", ""))
