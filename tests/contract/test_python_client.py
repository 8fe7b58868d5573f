"""The official Python client: typed, dynamic and watching."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

from tests.contract.kubectl import IMAGE, deployment


@pytest.fixture
def connection(kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(config_file=str(kubeconfig)) as found:
        yield found


@pytest.fixture
def core(connection: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(connection)


@pytest.fixture
def configmaps(connection: client.ApiClient, tmp_path: Path) -> Any:
    found = DynamicClient(connection, cache_file=str(tmp_path / "discovery.json"))
    return found.resources.get(api_version="v1", kind="ConfigMap")


def body(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_the_dynamic_client_applies_reads_lists_and_deletes(configmaps: Any, namespace: str) -> None:
    applied = configmaps.server_side_apply(body("c", a="1"), namespace=namespace, field_manager="py")
    assert applied.metadata.managedFields[0].manager == "py"
    assert configmaps.get(name="c", namespace=namespace).data.a == "1"
    assert "c" in [each.metadata.name for each in configmaps.get(namespace=namespace).items]
    with pytest.raises(ConflictError, match=r"conflict with .*py.*\.data\.a"):
        configmaps.server_side_apply(body("c", a="2"), namespace=namespace, field_manager="other")
    patch = {"data": {"b": "2"}}
    configmaps.patch(body=patch, name="c", namespace=namespace, content_type="application/merge-patch+json")
    configmaps.delete(name="c", namespace=namespace)
    with pytest.raises(NotFoundError):
        configmaps.get(name="c", namespace=namespace)


def test_the_dynamic_client_watches(configmaps: Any, namespace: str) -> None:
    since = configmaps.get(namespace=namespace).metadata.resourceVersion
    configmaps.create(body=body("c", a="1"), namespace=namespace)
    configmaps.delete(name="c", namespace=namespace)
    mine = "metadata.name=c"  # Kubernetes puts a ConfigMap of its own into each new namespace, some time
    events = configmaps.watch(namespace=namespace, resource_version=since, field_selector=mine, timeout=60)
    seen = [next(events)["type"] for _ in range(2)]
    assert seen == ["ADDED", "DELETED"]


def test_the_typed_client_creates_replaces_patches_and_deletes(
    core: client.CoreV1Api, namespace: str
) -> None:
    made = core.create_namespaced_config_map(namespace, body("c", a="1"))
    made.data = {"a": "2"}
    replaced = core.replace_namespaced_config_map("c", namespace, made)
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("c", namespace, made)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    assert replaced.data == {"a": "2"}
    patched = core.patch_namespaced_config_map("c", namespace, {"metadata": {"labels": {"x": "y"}}})
    assert patched.metadata.labels == {"x": "y"}
    assert core.delete_namespaced_config_map("c", namespace)["status"] == "Success"


def test_a_typed_watch_follows_live_and_ends_at_its_time(core: client.CoreV1Api, namespace: str) -> None:
    listed = core.list_namespaced_config_map(namespace, label_selector="live")
    labelled = {**body("c"), "metadata": {"name": "c", "labels": {"live": "yes"}}}

    def watched(resource_version: str, timeout_s: int) -> list[tuple[str, str]]:
        """The events until the first one, or until the server ends the watch."""
        watching, seen = watch.Watch(), []
        for event in watching.stream(
            core.list_namespaced_config_map,
            namespace,
            label_selector="live",
            resource_version=resource_version,
            timeout_seconds=timeout_s,
        ):
            seen.append((event["type"], event["object"].metadata.name))
            watching.stop()
        return seen

    later = threading.Timer(0.3, lambda: core.create_namespaced_config_map(namespace, labelled))
    later.start()
    assert watched(listed.metadata.resource_version, 60) == [("ADDED", "c")]
    later.join()
    now = core.list_namespaced_config_map(namespace, label_selector="live").metadata.resource_version
    assert watched(now, 1) == []


def test_lists_come_in_pages_of_one_moment(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, body(f"page-{number}"))
    first = core.list_namespaced_config_map(namespace, limit=2)
    core.create_namespaced_config_map(namespace, body("page-later"))
    names = [each.metadata.name for each in first.items]
    proceed = first.metadata._continue
    while proceed:
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=proceed)
        names += [each.metadata.name for each in page.items]
        proceed = page.metadata._continue
    assert [name for name in names if name.startswith("page-")] == [f"page-{number}" for number in range(5)]


def test_a_lease_is_won_by_one(connection: client.ApiClient, namespace: str) -> None:
    leases = client.CoordinationV1Api(connection)
    made = leases.create_namespaced_lease(
        namespace, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseTransitions": 1}}
    )
    made.spec.holder_identity = "b"
    assert leases.replace_namespaced_lease("l", namespace, made).spec.holder_identity == "b"
    made.spec.holder_identity = "c"
    with pytest.raises(ApiException) as refused:
        leases.replace_namespaced_lease("l", namespace, made)
    assert refused.value.status == 409


def test_the_typed_client_scales_with_its_default_patch(connection: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(connection)
    made = apps.create_namespaced_deployment(
        namespace, {**deployment(), "spec": {**deployment()["spec"], "replicas": 0}}
    )
    assert made.spec.strategy.type == "RollingUpdate"
    scaled = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}})
    assert scaled.spec.replicas == 2
    container = {"name": "web", "env": [{"name": "A", "value": "1"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patched = apps.patch_namespaced_deployment("web", namespace, patch).spec.template.spec.containers[0]
    assert (patched.image, patched.env[0].value) == (IMAGE, "1")
    apps.delete_namespaced_deployment("web", namespace)


def test_an_informer_holds_what_a_list_returns(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, body("before"))
    told: queue.Queue[tuple[str, str]] = queue.Queue()
    own = "metadata.name!=kube-root-ca.crt"  # a real cluster puts that one into every namespace
    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace, field_selector=own)
    for kind in (ADDED, MODIFIED, DELETED):

        def tell(obj: Any, kind: str = kind) -> None:
            told.put((kind, obj.metadata.name))

        informer.add_event_handler(kind, tell)
    informer.start()
    try:
        assert told.get(timeout=60) == ("ADDED", "before")
        core.create_namespaced_config_map(namespace, body("c", a="1"))
        assert told.get(timeout=60) == ("ADDED", "c")
        core.patch_namespaced_config_map("c", namespace, {"data": {"a": "2"}})
        assert told.get(timeout=60) == ("MODIFIED", "c")
        core.delete_namespaced_config_map("before", namespace)
        assert told.get(timeout=60) == ("DELETED", "before")
        assert [each.metadata.name for each in informer.cache.list()] == ["c"]
    finally:
        informer.stop()
