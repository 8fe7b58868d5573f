"""A field that a mesh does not support is refused with an explanation, never ignored."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.mesh import ControlPlane, Gateway, Quota, Resources
from meshkit.intent.release import Release
from meshkit.intent.rules import Fault, Retries
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.base import MeshPlanner
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import control_plane as linkerd_control_plane
from meshkit.meshes.linkerd import planner as linkerd
from meshkit.meshes.linkerd.control_plane import linkerd_values


def route(**fields: Any) -> Route:
    versions = (Version(name="v1"),)
    given = {"namespace": "shop", "service": "web", "port": 80, "versions": versions, "split": {"v1": 100}}
    return Route(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"fault": Fault(abort_status=500)}, "route.fault"),
        ({"connection_limits": ConnectionLimits(max_connections=1)}, "route.connection_limits"),
        ({"load_balancing": LoadBalancing(algorithm="random")}, "route.load_balancing.algorithm"),
        ({"load_balancing": LoadBalancing(hash_header="x-user")}, "route.load_balancing.hash_header"),
        ({"outlier_detection": OutlierDetection(interval_s=1)}, "route.outlier_detection.interval_s"),
        (
            {"outlier_detection": OutlierDetection(max_ejection_percent=50)},
            "route.outlier_detection.max_ejection_percent",
        ),
    ],
)
def test_linkerd_refuses_what_it_would_drop(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match="Linkerd cannot do this") as raised:
        linkerd.PLANNER.plan(route(**fields), Snapshot())
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"timeout_s": 100.5}, "route.timeout_s"),
        ({"timeout_s": 0.0004}, "route.timeout_s"),
        ({"retries": Retries(attempts=1, per_try_timeout_s=0.0004)}, "retries.per_try_timeout_s"),
        (
            {"outlier_detection": OutlierDetection(base_ejection_s=1.0004)},
            "outlier_detection.base_ejection_s",
        ),
    ],
)
def test_linkerd_gets_no_time_that_it_could_not_read(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as raised:
        linkerd.PLANNER.plan(route(**fields), Snapshot())
    assert raised.value.field == field


def service(notes: dict[str, str] | None = None, **port: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop", "annotations": notes or {}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"ports": [{"port": 80, **port}]},
    }


OPAQUE = {"config.linkerd.io/opaque-ports": "70-90"}


@pytest.mark.parametrize(
    ("web", "why"),
    [
        (service(OPAQUE), "annotation config.linkerd.io/opaque-ports"),
        (service(appProtocol="grpc"), "appProtocol 'grpc'"),
        (service(appProtocol="linkerd.io/opaque"), "appProtocol 'linkerd.io/opaque'"),
        (service(OPAQUE, appProtocol="http"), "annotation config.linkerd.io/opaque-ports"),
        (service(OPAQUE, appProtocol="kubernetes.io/h2c"), "annotation config.linkerd.io/opaque-ports"),
        (service({"config.linkerd.io/opaque-ports": "81"}, appProtocol="http"), None),
        (service(), None),
        (service({"config.linkerd.io/opaque-ports": "81"}), None),
    ],
)
def test_linkerd_gets_no_route_on_an_opaque_port(web: dict[str, Any], why: str | None) -> None:
    if why is None:
        assert linkerd.PLANNER.plan(route(), Snapshot((web,)))
        return
    with pytest.raises(BadInput, match="the route would have no effect") as raised:
        linkerd.PLANNER.plan(route(), Snapshot((web,)))
    assert raised.value.field == "route.port"
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("namespace", "spec", "refused"),
    [
        ("shop", {"routes": [{"name": "all", "condition": {}}]}, True),
        ("shop", {"dstOverrides": [{"authority": "web-v1.shop.svc.cluster.local:80", "weight": 1}]}, True),
        ("shop", {"opaquePorts": []}, False),
        ("edge", {"routes": [{"name": "all", "condition": {}}]}, False),
    ],
)
def test_linkerd_gets_no_route_beside_a_service_profile(
    namespace: str, spec: dict[str, Any], refused: bool
) -> None:
    meta = {"name": "web.shop.svc.cluster.local", "namespace": namespace}
    profile = {"apiVersion": "linkerd.io/v1alpha2", "kind": "ServiceProfile", "metadata": meta, "spec": spec}
    seen = Snapshot((service(), profile))
    if not refused:
        assert linkerd.PLANNER.plan(route(), seen)
        return
    with pytest.raises(BadInput, match="rules Service shop/web") as raised:
        linkerd.PLANNER.plan(route(), seen)
    assert raised.value.field == "route.service"


def test_linkerd_cannot_switch_mutual_tls_off() -> None:
    with pytest.raises(BadInput, match="choose permissive or strict"):
        linkerd.PLANNER.plan(MutualTLS(mode="disable", namespace="shop"), Snapshot())


def test_linkerd_needs_an_injected_namespace_for_the_whole_mesh() -> None:
    with pytest.raises(BadInput, match="no namespace has Linkerd's injection enabled"):
        linkerd.PLANNER.plan(MutualTLS(mode="strict"), Snapshot())


PLANNERS = pytest.mark.parametrize("planner", [istio.PLANNER, linkerd.PLANNER], ids=lambda p: p.mesh)


@PLANNERS
def test_an_untested_version_is_refused_unless_told_so(planner: MeshPlanner) -> None:
    with pytest.raises(BadInput, match=r"not been tested with 9\.9\.9"):
        planner.plan(ControlPlane(version="9.9.9"), Snapshot())
    assert planner.plan(ControlPlane(version="9.9.9", untested=True), Snapshot())


@PLANNERS
@pytest.mark.parametrize(
    ("quota", "field"),
    [
        (Quota(cpu="100m", memory="99Gi"), "control_plane.quota.cpu"),
        (Quota(cpu="99", memory="100Mi"), "control_plane.quota.memory"),
        (Quota(cpu="99", memory="99Gi", pods=3), "control_plane.quota.pods"),
    ],
)
def test_a_quota_that_a_rollout_does_not_fit_in_is_refused(
    planner: MeshPlanner, quota: Quota, field: str
) -> None:
    with pytest.raises(BadInput) as raised:
        planner.plan(ControlPlane(quota=quota), Snapshot())
    assert raised.value.field == field


def test_the_charts_of_linkerd_put_more_containers_into_a_pod() -> None:
    wanted = ControlPlane(charts="published", quota=Quota(cpu="3", memory="16Gi"))
    with pytest.raises(BadInput, match="4 x"):
        linkerd.PLANNER.plan(wanted, Snapshot())


@pytest.mark.parametrize("pdb", [{"maxUnavailable": 0}, {"maxUnavailable": None, "minAvailable": 3}])
def test_values_that_block_every_drain_are_refused(pdb: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="no node could be drained"):
        istio.PLANNER.plan(ControlPlane(charts="published", values={"pdb": pdb}), Snapshot())


def test_node_agents_count_in_the_quota_of_their_namespace() -> None:
    nodes = Snapshot(tuple({"kind": "Node", "metadata": {"name": f"n{number}"}} for number in range(20)))
    quota = Quota(cpu="3", memory="16Gi", pods=24)
    istio.PLANNER.plan(ControlPlane(charts="published", quota=quota), nodes)
    with pytest.raises(BadInput, match="20 node agents 100m each"):
        istio.PLANNER.plan(ControlPlane(charts="published", cni=True, quota=quota), nodes)


def test_a_gateway_stands_apart_from_the_control_plane() -> None:
    wanted = ControlPlane(charts="published", gateway=Gateway(namespace="istio-system"))
    with pytest.raises(BadInput, match="a namespace of its own"):
        istio.PLANNER.plan(wanted, Snapshot())


@pytest.mark.parametrize("fields", [{"cni": True}, {"gateway": Gateway()}])
def test_what_only_istios_charts_install_is_refused_elsewhere(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="charts is not set"):
        ControlPlane(**fields)
    with pytest.raises(BadInput, match="Linkerd"):
        linkerd.PLANNER.plan(ControlPlane(charts="published", **fields), Snapshot())


def test_the_charts_of_istio_know_no_webhook_that_lets_pods_in() -> None:
    with pytest.raises(BadInput, match="support only 'fail'"):
        istio.PLANNER.plan(ControlPlane(charts="published", webhook_failure="ignore"), Snapshot())


def test_the_charts_of_linkerd_need_an_issuer_and_a_node_for_each_replica() -> None:
    charts = ControlPlane(charts="published")
    with pytest.raises(BadInput, match="no two replicas share a node, and the cluster has 0 nodes"):
        linkerd.PLANNER.plan(charts, Snapshot())
    nodes = tuple({"kind": "Node", "metadata": {"name": name}} for name in "abc")
    with pytest.raises(BadInput, match="there is no Secret linkerd/linkerd-identity-issuer"):
        linkerd.PLANNER.plan(charts, Snapshot(nodes))


def linkerds_home(*objects: dict[str, Any]) -> Snapshot:
    """Three nodes, an issuer, and the ConfigMap of the anchors as it is found."""
    nodes = ({"kind": "Node", "metadata": {"name": name}} for name in "abc")
    data = {key: base64.b64encode(key.encode()).decode() for key in ("ca.crt", "tls.crt", "tls.key")}
    meta = {"name": "linkerd-identity-issuer", "namespace": "linkerd", "uid": "u-1"}
    return Snapshot((*nodes, {"kind": "Secret", "metadata": meta, "data": data}, *objects))


def bundle(**notes: str) -> dict[str, Any]:
    meta = {"name": "linkerd-identity-trust-roots", "namespace": "linkerd", "annotations": notes}
    return {"kind": "ConfigMap", "metadata": meta, "data": {"ca-bundle.crt": "as a rotation left it"}}


def test_the_anchors_of_linkerd_are_made_once_and_are_never_helms() -> None:
    charts = ControlPlane(charts="published")
    first = linkerd.PLANNER.plan(charts, linkerds_home())
    titles = [step.title for step in first]
    made = next(step for step in first if step.name == "linkerd-identity-trust-roots")
    assert made.object["data"] == {"ca-bundle.crt": "ca.crt"}
    assert titles.index(made.title) < titles.index("Release linkerd/linkerd-crds")
    again = linkerd.PLANNER.plan(charts, linkerds_home(bundle()))
    assert [step.title for step in again] == [title for title in titles if title != made.title]
    values = again[-1].object["spec"]["values"]
    assert values["identity"]["externalCA"] is True
    assert "identityTrustAnchorsPEM" not in values


def test_anchors_that_an_upgrade_would_delete_are_taken_out_of_the_release_first() -> None:
    helms = bundle(**{"meta.helm.sh/release-name": "linkerd-control-plane"})
    charts = ControlPlane(charts="published")
    with pytest.raises(BadInput, match="this upgrade would delete it") as refused:
        linkerd.PLANNER.plan(charts, linkerds_home(helms))
    assert "helm.sh/resource-policy=keep meta.helm.sh/release-name-" in refused.value.remedy
    left = ControlPlane(charts="published", values={"identity": {"externalCA": False}})
    values = linkerd.PLANNER.plan(left, linkerds_home(helms))[-1].object["spec"]["values"]
    assert values["identityTrustAnchorsPEM"] == "ca.crt"


def test_the_heartbeat_is_at_the_same_time_in_every_plan() -> None:
    schedules = {linkerd_control_plane.heartbeat_schedule(linkerds_home(), "linkerd") for _ in range(2)}
    (schedule,) = schedules
    assert re.fullmatch(r"\d{1,2} \d{1,2} \* \* \*", schedule)


@PLANNERS
def test_a_release_is_run_not_planned(planner: MeshPlanner) -> None:
    release = Release(name="r", namespace="shop", service="web", port=80, stable="v1", canary="v2")
    with pytest.raises(BadInput, match="has a plan of its own"):
        planner.plan(release, Snapshot())
    with pytest.raises(BadInput, match="has a plan of its own"):
        planner.needs(release)


def test_a_component_may_use_the_memory_it_requests() -> None:
    intent = ControlPlane(resources=Resources(cpu="1", memory="1Gi"))
    component = linkerd_values(intent, "edge-26.6.3")["identityResources"]
    assert component["memory"] == {"request": "1Gi", "limit": "1Gi"}


@pytest.mark.parametrize("intent", [ControlPlane(revision="new"), ControlPlane(tags=("prod",))])
def test_linkerd_has_no_revisions(intent: ControlPlane) -> None:
    with pytest.raises(BadInput, match=r"control_plane\.(revision|tags): Linkerd cannot do this"):
        linkerd.PLANNER.plan(intent, Snapshot())
