"""The state of an upgrade is derived from the cluster: proxies by version, next step, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import Snapshot
from meshkit.intent.mesh import ControlPlane, Gateway
from meshkit.kube import manifests
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.meshes.istio import revisions as istio_revisions
from meshkit.meshes.istio.revisions import Revision
from meshkit.operations.upgrade import retirement
from meshkit.operations.upgrade.report import next_of, old_node_proxies
from meshkit.operations.upgrade.state import UpgradeState, move_steps, require_upgradable

NEW = ControlPlane(version="1.31.4", revision="1-31-4")


def obj(api_version: str, kind: str, name: str, namespace: str = "", **body: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "uid": f"{kind}/{namespace}/{name}", **body.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def istiod(revision: str, version: str, **more: str) -> dict[str, Any]:
    name = named(revision).named("istiod")
    labels = {"app": "istiod", "istio.io/rev": revision}
    containers = [{"name": "discovery", "image": f"docker.io/istio/pilot:{version}"}]
    selector = {"matchLabels": {"istiod": revision}}
    spec = {"replicas": 3, "selector": selector, "template": {"spec": {"containers": containers}}}
    ours = {"managedFields": [{"manager": more.get("by", "meshkit")}]}
    status = {"availableReplicas": 3}
    meta = {"labels": labels, **ours}
    return obj("apps/v1", "Deployment", name, "istio-system", meta=meta, spec=spec, status=status)


def named(label: str) -> Revision:
    return Revision("" if label == "default" else label)


def hook(revision: str) -> dict[str, Any]:
    return ours(istio_revisions.webhook(named(revision), "istio-system", "Fail"))


def tag(name: str, revision: str) -> dict[str, Any]:
    return ours(istio_revisions.tag_webhook(name, named(revision), "istio-system", "Fail"))


def ours(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "metadata": {**made["metadata"], "managedFields": [{"manager": "meshkit"}]}}


def space(name: str, by: str = "meshkit-injection", **labels: str) -> dict[str, Any]:
    keys = {key.replace("_", "-") if "/" not in key else key: value for key, value in labels.items()}
    owned = {"f:metadata": {"f:labels": {f"f:{key}": {} for key in keys}}}
    fields = [{"manager": by, "operation": "Apply", "fieldsV1": owned}]
    return obj("v1", "Namespace", name, meta={"labels": keys, "managedFields": fields})


def asking(name: str, revision: str, by: str = "meshkit-injection") -> dict[str, Any]:
    return space(name, by, **{"istio.io/rev": revision})


def workload(
    name: str, namespace: str, revision: str, version: str, kind: str = "Deployment", **meta: Any
) -> list[dict[str, Any]]:
    """A workload and its pod, whose proxy is of this revision and version."""
    containers = [{"name": "web"}, {"name": "istio-proxy", "image": f"docker.io/istio/proxyv2:{version}"}]
    pod = obj(
        *("v1", "Pod", f"{name}-0", namespace),
        meta={"labels": {"app": name}, "annotations": {"istio.io/rev": revision}},
        spec={"containers": containers},
    )
    if kind == "Pod":
        return [pod]
    spec = {"selector": {"matchLabels": {"app": name}}, "template": {}}
    return [obj("apps/v1", kind, name, namespace, meta={"generation": 2, **meta}, spec=spec), pod]


def standing(*objects: dict[str, Any], to: ControlPlane = NEW, mesh: str = "istio") -> UpgradeState:
    return UpgradeState(Snapshot(objects), mesh, to)


OLD = (istiod("default", "1.30.5"), hook("default"))
BOTH = (*OLD, istiod("1-31-4", "1.31.4"), hook("1-31-4"))


def titles(found: UpgradeState, name: str) -> list[str]:
    (place,) = (one for one in found.spaces if one.name == name)
    return [step.title for step in move_steps(found, place, 1)]


def test_a_namespace_moves_by_its_label_and_the_restart_of_what_has_an_old_proxy() -> None:
    found = standing(
        *BOTH,
        space("shop", **{"istio-injection": "enabled"}),
        *workload("web", "shop", "default", "1.30.5"),
        *workload("db", "shop", "default", "1.30.5", "StatefulSet"),
        *workload("new", "shop", "1-31-4", "1.31.4-distroless"),
    )
    (shop,) = found.spaces
    assert (shop.asks, shop.moved, shop.behind, shop.settled) == ("default", 1, 2, False)
    assert titles(found, "shop") == ["Namespace shop", "Deployment shop/web", "StatefulSet shop/db"]
    label = move_steps(found, shop, 1)[0]
    assert label.object["metadata"]["labels"] == {"istio.io/rev": "1-31-4"}
    assert label.manager == "meshkit-injection", "its old label goes with the manager that wrote it"


def test_the_smallest_namespace_moves_first() -> None:
    found = standing(
        *BOTH,
        asking("big", "default"),
        *workload("a", "big", "default", "1.30.5"),
        *workload("b", "big", "default", "1.30.5"),
        asking("small", "default"),
        *workload("c", "small", "default", "1.30.5"),
        asking("empty", "default"),
        obj("v1", "Namespace", "other"),
    )
    assert [one.name for one in found.spaces] == ["empty", "small", "big"]


def test_a_tag_moves_for_all_that_ask_for_it_and_their_labels_stay() -> None:
    tagged = (asking("a", "prod"), asking("b", "prod"), *workload("web", "a", "default", "1.30.5"))
    found = standing(*BOTH, tag("prod", "default"), *tagged)
    assert titles(found, "a") == [
        "MutatingWebhookConfiguration istio-revision-tag-prod",
        "Deployment a/web",
    ]
    after = standing(*BOTH, tag("prod", "1-31-4"), *tagged)
    assert titles(after, "a") == ["Deployment a/web"]
    assert next(one for one in after.spaces if one.name == "b").settled


def test_a_label_that_somebody_else_wrote_is_theirs_to_change() -> None:
    """Beside it a revision would be written in vain: istio-injection wins."""
    found = standing(*BOTH, space("shop", "kubectl-label", **{"istio-injection": "enabled"}))
    (shop,) = found.spaces
    assert shop.settled, "the others go on"
    assert shop.by_hand == ("istio-injection on Namespace shop, which belongs to kubectl-label",)
    with pytest.raises(ManualActionRequired, match=r"shop \(selects default\)"):
        retirement.require_unused(found)


def test_what_asks_for_itself_is_told_the_revision_unless_a_chart_says_it() -> None:
    bare = obj("v1", "Namespace", "edge")
    by_chart = {
        "annotations": {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "edge"}
    }
    own, of_chart = (
        workload("gateway", "edge", "default", "1.30.5"),
        workload("edge", "edge", "default", "1.30.5", **by_chart),
    )
    found = standing(*BOTH, bare, *own, *of_chart)
    (edge,) = found.spaces
    assert edge.by_hand == ("Deployment edge/edge (its Helm release)",)
    (label,) = move_steps(found, edge, 1)
    assert label.object["spec"]["template"]["metadata"]["labels"] == {"istio.io/rev": "1-31-4"}
    assert (label.manager, label.wave, label.wait is None) == ("meshkit-upgrade", 1, False)

    gateway = NEW.model_copy(
        update={"gateway": Gateway(name="edge", namespace="edge"), "charts": "published"}
    )
    (named,) = standing(*BOTH, bare, *of_chart, to=gateway).spaces
    assert (named.by_hand, named.settled) == ((), True), "the plan of the intent moves its own gateway"


def test_what_asks_for_itself_moves_in_waves_too() -> None:
    several = [one for name in "abc" for one in workload(name, "edge", "default", "1.30.5")]
    found = standing(*BOTH, obj("v1", "Namespace", "edge"), *several)
    (edge,) = found.spaces
    assert [step.wave for step in move_steps(found, edge, 2)] == [1, 1, 2]


def test_proxies_beside_istiod_are_seen() -> None:
    """A gateway in the control plane's own namespace would lose its istiod unseen."""
    home = obj("v1", "Namespace", "istio-system")
    notes = {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "istio-system"}
    gateway = workload("edge", "istio-system", "default", "1.30.5", annotations=notes)
    found = standing(*BOTH, home, *gateway)
    assert [(one.name, one.behind) for one in found.spaces] == [("istio-system", 1)]
    with pytest.raises(ManualActionRequired, match=r"istio-system \(1 proxies\)"):
        retirement.require_unused(found)


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"containers": [{"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.5"}]}},
        {"metadata": {"annotations": {"sidecar.istio.io/proxyImage": "mine"}}},
    ],
)
def test_what_names_its_proxy_itself_is_left_to_people(template: dict[str, Any]) -> None:
    deployment, pod = workload("web", "shop", "default", "1.30.5")
    deployment["spec"]["template"] = template
    (shop,) = standing(*BOTH, asking("shop", "1-31-4"), deployment, pod).spaces
    assert (shop.settled, shop.by_hand) == (
        True,
        ("Deployment shop/web (its pod template contains the proxy)",),
    )


def test_marks_of_others_are_named_and_the_rest_goes_on() -> None:
    foreign = tag("prod", "default")
    foreign["metadata"]["managedFields"] = [{"manager": "istioctl"}]
    found = standing(
        *(*BOTH, foreign, asking("a", "default", "argocd"), asking("b", "prod")),
        *workload("web", "a", "default", "1.30.5"),
    )
    assert {one.name: (one.settled, one.by_hand) for one in found.spaces} == {
        "a": (True, ("istio.io/rev on Namespace a, which belongs to argocd",)),
        "b": (True, ("the tag prod, which another program made",)),
    }


def test_a_pod_that_no_restart_makes_anew_is_left_to_people() -> None:
    found = standing(*BOTH, asking("shop", "1-31-4"), *workload("job", "shop", "default", "1.30.5", "Pod"))
    (shop,) = found.spaces
    assert (shop.behind, shop.settled, shop.by_hand) == (1, True, ("Pod shop/job-0",))


def test_in_its_place_only_the_proxies_of_the_unnamed_one_move() -> None:
    found = standing(
        *(istiod("default", "1.31.4"), hook("default"), istiod("other", "1.30.5"), hook("other")),
        space("shop", **{"istio-injection": "enabled"}),
        asking("elsewhere", "other"),
        *workload("web", "shop", "default", "1.30.5"),
        *workload("web", "elsewhere", "other", "1.30.5"),
        to=ControlPlane(version="1.31.4"),
    )
    assert [one.name for one in found.spaces] == ["shop"]
    assert titles(found, "shop") == ["Deployment shop/web"]
    assert found.old == ()


def test_linkerd_restarts_what_has_an_older_proxy() -> None:
    labels = {"linkerd.io/control-plane-component": "destination"}
    containers = [{"name": "destination", "image": "ghcr.io/linkerd/controller:edge-26.6.3"}]
    selector = {"matchLabels": labels}
    spec = {"selector": selector, "template": {"spec": {"containers": containers}}}
    plane = obj("apps/v1", "Deployment", "linkerd-destination", "linkerd", meta={"labels": labels}, spec=spec)
    home = obj("v1", "Namespace", "shop", meta={"annotations": {"linkerd.io/inject": "enabled"}})
    deployment, pod = workload("web", "shop", "default", "")
    pod["spec"]["containers"][1]["name"] = "linkerd-proxy"
    pod["metadata"]["annotations"] = {"linkerd.io/proxy-version": "edge-26.5.1"}
    found = standing(plane, home, deployment, pod, to=ControlPlane(), mesh="linkerd")
    assert titles(found, "shop") == ["Deployment shop/web"]
    assert [one.version for one in found.installed] == ["edge-26.6.3"]


@pytest.mark.parametrize(
    ("objects", "to", "sentence"),
    [
        ((), NEW, "istio-system has no control plane of istio"),
        ((istiod("default", "1.32.0"),), NEW, "1.31.4 is older than 1.32.0"),
        ((istiod("default", "1.28.2"),), NEW, "more than Istio takes at once beside .*: 2 minor"),
        (
            (istiod("default", "1.29.2"),),
            ControlPlane(version="1.31.4"),
            "more than Istio takes at once in place of the old control plane: 1 minor",
        ),
    ],
)
def test_steps_that_a_mesh_does_not_take_are_refused(
    objects: tuple[dict[str, Any], ...], to: ControlPlane, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        require_upgradable(standing(*objects, to=to))


def test_two_minor_versions_beside_and_an_upgrade_that_goes_on_are_taken() -> None:
    require_upgradable(standing(istiod("default", "1.29.2")))
    require_upgradable(standing(istiod("default", "1.29.2"), istiod("1-31-4", "1.31.4")))


def test_a_patch_of_the_unnamed_one_is_taken_beside_a_newer_revision() -> None:
    require_upgradable(standing(*OLD, istiod("new", "1.31.4"), to=ControlPlane(version="1.30.9")))


def test_an_image_by_digest_has_a_version() -> None:
    (one,) = standing(istiod("default", "1.30.5@sha256:0a")).installed
    assert one.version == "1.30.5"


@pytest.mark.parametrize(("cpu", "refused"), [("2000m", True), ("4", False)])
def test_a_quota_must_hold_both_control_planes(cpu: str, refused: bool) -> None:
    status = {"hard": {"requests.cpu": cpu, "pods": "20"}, "used": {"requests.cpu": "1500m", "pods": "3"}}
    found = standing(*OLD, obj("v1", "ResourceQuota", "mesh-control-plane", "istio-system", status=status))
    if refused:
        with pytest.raises(BadInput, match=r"has 0.5 of requests.cpu left, and 3 replicas.*take 1.5"):
            require_upgradable(found)
    else:
        require_upgradable(found)


class TestRetirement:
    def test_while_somebody_obeys_the_old_one_it_stays(self) -> None:
        behind = standing(*BOTH, asking("shop", "1-31-4"), *workload("w", "shop", "default", "1.30.5", "Pod"))
        with pytest.raises(ManualActionRequired, match=r"shop \(1 proxies\). By hand: Pod shop/w-0"):
            retirement.require_unused(behind)
        retirement.require_unused(standing(*BOTH, asking("shop", "1-31-4")))

    def test_what_carries_the_old_label_goes_webhooks_first(self) -> None:
        config = ours(manifests.obj(CONFIG_MAP, "istio", "istio-system", labels=Revision().labels))
        steps = retirement.retirement(
            standing(*BOTH, tag("unused", "default"), tag("prod", "1-31-4"), config)
        )
        assert [step.title for step in steps] == [
            "MutatingWebhookConfiguration istio-sidecar-injector",
            "MutatingWebhookConfiguration istio-revision-tag-unused",
            "Deployment istio-system/istiod",
            "ConfigMap istio-system/istio",
        ]
        assert all(step.removed for step in steps)

    def test_somebody_must_be_the_default_after_it(self) -> None:
        with pytest.raises(BadInput, match=r"control_plane.tags: .*--tag default"):
            retirement.require_handed_over(standing(*BOTH))
        tagged = NEW.model_copy(update={"tags": ("default",)})
        retirement.require_handed_over(standing(*BOTH, to=tagged))
        retirement.require_handed_over(standing(istiod("1-30-5", "1.30.5"), hook("1-30-5")))

    def test_the_node_agents_release_stays(self) -> None:
        """Its chart labels it with a revision, and it serves all of them."""
        notes = {"meta.helm.sh/release-name": "istio-cni", "meta.helm.sh/release-namespace": "istio-system"}
        meta = {"labels": {"istio.io/rev": "default"}, "annotations": notes}
        agent = obj("v1", "ServiceAccount", "istio-cni", "istio-system", meta=meta)
        steps = retirement.retirement(standing(*BOTH, agent))
        assert [step.title for step in steps if "cni" in step.title] == []

    def test_a_release_goes_whole(self) -> None:
        notes = {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"}
        released = istiod("default", "1.30.5", by="helm")
        released["metadata"]["annotations"] = notes
        (step,) = retirement.retirement(standing(released, istiod("1-31-4", "1.31.4")))
        assert step.title == "Release istio-system/istiod"

    def test_what_another_program_installed_is_left_to_it(self) -> None:
        found = standing(istiod("default", "1.30.5", by="istioctl"), istiod("1-31-4", "1.31.4"))
        with pytest.raises(ManualActionRequired, match="neither by meshkit nor by Helm"):
            retirement.require_ours(found)


def test_the_proxy_of_ambient_pods_on_every_node_is_upgraded_by_hand() -> None:
    containers = [{"name": "istio-proxy", "image": "docker.io/istio/ztunnel:1.30.5"}]
    spec = {"selector": {"matchLabels": {"app": "ztunnel"}}, "template": {"spec": {"containers": containers}}}
    ztunnel = obj("apps/v1", "DaemonSet", "ztunnel", "istio-system", spec=spec)
    ambient = space("shop", **{"istio.io/dataplane-mode": "ambient"})
    found = standing(istiod("1-31-4", "1.31.4"), hook("1-31-4"), ztunnel, ambient)
    assert found.spaces == (), "an ambient namespace has no sidecars to move"
    assert old_node_proxies(found) == ("DaemonSet istio-system/ztunnel (1.30.5), by its own release",)


def test_a_mesh_that_is_not_installed_is_no_upgrade() -> None:
    told = next_of(standing(), ())
    assert told == "Istio is not installed: 'meshkit setup apply control-plane' installs it."
