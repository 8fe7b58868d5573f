"""What a release writes and reads beside its route: Events, and the annotation that opens a gate."""

from __future__ import annotations

import time

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import NoData
from meshkit.facts import Kind
from meshkit.intent.release import Release
from meshkit.operations.release.gates.answers import from_annotation
from meshkit.operations.release.notices.events import EventWriter
from meshkit.operations.release.notices.notice import Notice
from meshkit.operations.release.route import record_of, route_object
from meshkit.operations.release.state.fold import begun
from meshkit.operations.release.state.model import ReleaseState
from tests.contract.kubectl import Kubectl

DEPLOYMENT = Kind("apps/v1", "Deployment")
KEY = "meshkit.dev/gate-approval"


@pytest.fixture
def state(cluster: Cluster, namespace: str) -> ReleaseState:
    """A release that has begun, with its Service and the Deployment of its canary without pods."""
    labels = {"app": "web", "version": "v2"}
    port, meta = {"port": 8080}, {"name": "web", "namespace": namespace}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta}
    cluster.api.apply({**service, "spec": {"selector": {"app": "web"}, "ports": [port]}}, manager="test")
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "web-v2", "namespace": namespace}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    cluster.api.apply(deployment, manager="test")
    versions = {"stable": "v1", "canary": "v2"}
    release = Release(name="web-v2", namespace=namespace, service="web", port=8080, **versions)
    return begun(
        {
            "kind": "begin",
            "at_s": time.time(),
            "change_id": "release-1",
            "release": release.model_dump(mode="json"),
            "mesh": "istio",
            "who": "ana",
            "object": "VirtualService",
            "route": record_of(route_object("istio", release)),
            "weights": [100, 0],
            "managed_fields": [],
        }
    )


def test_a_transition_is_an_event_of_the_service_and_of_the_deployment(
    cluster: Cluster, kubectl: Kubectl, state: ReleaseState
) -> None:
    writer = EventWriter(state, cluster)
    notice = Notice("rolled back", "Release web-v2: v2 fails more often.", time.time(), 0.0)
    for _ in range(2):  # Told again by the next process, it is one Event.
        writer.write(notice)
    for what in ("service/web", "deployment/web-v2"):
        shown = kubectl("events", "--for", what, "--no-headers").splitlines()
        assert len(shown) == 1
        assert "Warning" in shown[0]
        assert "ReleaseRolledBack" in shown[0]
        assert "Release web-v2: v2 fails more often." in shown[0]


def test_an_annotation_says_which_field_manager_wrote_it_and_when(
    cluster: Cluster, kubectl: Kubectl, state: ReleaseState
) -> None:
    since_s = time.time()
    kubectl("annotate", "deployment", "web-v2", f"{KEY}=approve: seen")
    workload = cluster.api.get(DEPLOYMENT, "web-v2", kubectl.namespace)
    assert workload is not None
    answer = from_annotation({**workload, "kind": "Deployment"}, KEY, since_s)
    assert answer is not None
    assert (answer.word, answer.who, answer.why) == ("approved", "the field manager kubectl-annotate", "seen")
    with pytest.raises(NoData, match="is from before the release"):
        from_annotation({**workload, "kind": "Deployment"}, KEY, since_s + 60)
