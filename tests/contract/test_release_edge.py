"""The rules of a release in two objects, of the mesh and of a gateway, on a server that owns fields."""

from __future__ import annotations

from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind, Object
from meshkit.intent.release import Release
from meshkit.operations.release.route import find_route, owners
from meshkit.operations.release.runner import hold_lock
from meshkit.operations.release.weights import WeightWriters

VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")


def _virtual_service(namespace: str, name: str, host: str, **spec: Any) -> dict[str, Any]:
    """A VirtualService that sends everything to v1."""
    weights = {"v1": 100, "v2": 0}
    to = [
        {"destination": {"host": f"web.{namespace}.svc.cluster.local", "subset": subset}, "weight": weight}
        for subset, weight in weights.items()
    ]
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [host], "http": [{"route": to}], **spec},
    }


def _weights(obj: Object | None) -> list[int]:
    assert obj is not None
    return [entry.get("weight", 0) for entry in obj["spec"]["http"][0]["route"]]


def test_the_weights_of_the_mesh_and_of_the_edge_move_together_and_go_back(
    definitions: None, cluster: Cluster, namespace: str
) -> None:
    ports = [{"name": "http", "port": 8080}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}}
    cluster.api.apply({**service, "spec": {"selector": {"app": "web"}, "ports": ports}}, manager="test")
    for name, host, bound in (("web", "web", ["mesh"]), ("edge", "shop.example.com", ["public"])):
        obj = _virtual_service(namespace, name, host, gateways=bound)
        cluster.api.apply(obj, manager="another-team")
    release = Release(name="web-v2", namespace=namespace, service="web", port=8080, stable="v1", canary="v2")

    found = find_route("istio", release, cluster)
    assert [str(each) for each in (found.route, *found.edges)] == [
        f"VirtualService {namespace}/web",
        f"VirtualService {namespace}/edge",
    ]
    with hold_lock(cluster, release) as lock:
        writers = WeightWriters(cluster.api, lock, (found.route, *found.edges), release, {})
        before = writers.managed_fields()
        writers.move(90, 10, expected_percent=0)
        moved = [cluster.api.get(VIRTUAL_SERVICE, name, namespace) for name in ("web", "edge")]
        writers.move_back([(100, 0)] * 2, 10, "the test")
        writers.hand_back(before)
    back = [cluster.api.get(VIRTUAL_SERVICE, name, namespace) for name in ("web", "edge")]
    assert ([_weights(each) for each in moved], [_weights(each) for each in back]) == (
        [[90, 10]] * 2,
        [[100, 0]] * 2,
    )
    assert [owners(each or {}, found.route) for each in back] == [("another-team",)] * 2
