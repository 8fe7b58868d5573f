"""The state of a rotation of Linkerd's identity is derived from the objects of the cluster alone."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from typing import Any

import pytest

from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import Snapshot
from meshkit.meshes.identity import CLOCK_SKEW, Pair
from meshkit.meshes.linkerd.pki import trusts
from meshkit.meshes.linkerd.rotation import (
    LinkerdIdentity,
    issue_steps,
    renew_steps,
    require_rotatable,
    retire_steps,
    trust_steps,
)
from meshkit.operations.identity.create import identity_of, made_anchor, made_issuer

LINKERD = identity_of("linkerd")
OLD, NEW = made_anchor(LINKERD, "cluster.local", 30), made_anchor(LINKERD, "cluster.local", 30)
OLD_ISSUER, NEW_ISSUER = (
    made_issuer(LINKERD, OLD, "cluster.local", 9),
    made_issuer(LINKERD, NEW, "cluster.local", 9),
)
BOTH = f"{OLD.certificate}{NEW.certificate}"
LATER = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
EARLIER = "2020-01-01T00:00:00Z"


def obj(kind: str, name: str, namespace: str = "linkerd", **body: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": name, **body.pop("meta", {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **body}


def secret(name: str, pair: Pair, **more: Any) -> dict[str, Any]:
    texts = {"tls.crt": pair.certificate, "tls.key": pair.key}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return obj("Secret", name, data=data, **more)


def proxy(bundle: str, made: str = EARLIER, name: str = "web-1") -> dict[str, Any]:
    notes = {"linkerd.io/trust-root-sha256": hashlib.sha256(bundle.encode()).hexdigest()}
    meta = {"annotations": notes, "labels": {"app": "web"}, "creationTimestamp": made}
    return obj("Pod", name, "shop", meta=meta, spec={"containers": [{"name": "linkerd-proxy"}]})


def identity(bundle: str, issuer: Pair, anchor: Pair, *objects: dict[str, Any]) -> LinkerdIdentity:
    roots = obj("ConfigMap", "linkerd-identity-trust-roots", data={"ca-bundle.crt": bundle})
    secrets = secret("linkerd-identity-issuer", issuer), secret("linkerd-trust-anchor", anchor)
    deployment = obj("Deployment", "web", "shop", spec={"selector": {"matchLabels": {"app": "web"}}})
    return LinkerdIdentity(Snapshot((roots, *secrets, deployment, *objects)), "linkerd")


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        (identity(OLD.certificate, OLD_ISSUER, OLD, proxy(OLD.certificate)), "settled"),
        (identity(OLD.certificate, OLD_ISSUER, OLD, proxy(BOTH)), "retire"),
        (identity(BOTH, OLD_ISSUER, NEW, proxy(OLD.certificate)), "trust"),
        (identity(BOTH, OLD_ISSUER, OLD_ISSUER, proxy(BOTH)), "trust"),
        (identity(BOTH, OLD_ISSUER, NEW, proxy(BOTH)), "issue"),
        (identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH)), "renew"),
        (identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH, LATER)), "retire"),
    ],
    ids=["settled", "old-bundle-left", "lagging", "foreign-anchor", "trusted", "issued", "renewed"],
)
def test_the_cluster_tells_what_a_rotation_is_in_the_middle_of(found: LinkerdIdentity, phase: str) -> None:
    assert found.phase == phase


def test_a_proxy_that_takes_the_anchors_from_the_bundle_itself_trusts_what_it_found_there() -> None:
    """As those of the control plane by Linkerd's charts, whose note says nothing of it."""
    bundle = obj("ConfigMap", "linkerd-identity-trust-roots", data={"ca-bundle.crt": OLD.certificate})
    written = {"f:data": {".": {}, "f:ca-bundle.crt": {}}}
    bundle["metadata"]["creationTimestamp"] = EARLIER
    own = proxy("", "2020-01-01T00:00:30Z")
    reference = {"configMapKeyRef": {"name": "linkerd-identity-trust-roots", "key": "ca-bundle.crt"}}
    entry = {"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "valueFrom": reference}
    own["spec"]["containers"][0]["env"] = [entry]
    assert trusts(own, bundle)
    for time, trusted in (("2020-01-01T00:00:29Z", True), ("2020-01-01T00:00:30Z", False)):
        managed = [{"manager": "a", "fieldsV1": {"f:metadata": {}}, "time": LATER}]
        bundle["metadata"]["managedFields"] = [*managed, {"manager": "b", "fieldsV1": written, "time": time}]
        assert trusts(own, bundle) is trusted


def test_linkerds_event_tells_when_the_issuer_was_taken_up() -> None:
    made = identity(BOTH, NEW_ISSUER, NEW).issuer.not_valid_before_utc + CLOCK_SKEW
    at, soon = ((made + dt.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ") for s in (10, 12))
    event = obj("Event", "e", reason="IssuerUpdated", lastTimestamp=at)
    without = identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH, soon))
    told = identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH, soon), event)
    assert (without.phase, without.taken_up) == ("renew", None)
    assert (told.phase, told.taken_up) == ("retire", made + dt.timedelta(seconds=10))


def test_an_issuer_counts_from_when_it_came_into_its_secret() -> None:
    """It is made with the plan; Linkerd may restart, and say so, before it is put there."""
    made = identity(BOTH, NEW_ISSUER, NEW).issuer.not_valid_before_utc + CLOCK_SKEW
    before, written, after = (
        (made + dt.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ") for s in (10, 20, 30)
    )
    found = identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH, before))
    fields = {"f:data": {".": {}, "f:tls.crt": {}, "f:tls.key": {}}}
    issuer = found.snapshot.find("Secret", "linkerd-identity-issuer", "linkerd")
    assert issuer is not None
    issuer["metadata"]["managedFields"] = [{"manager": "meshkit", "fieldsV1": fields, "time": written}]  # type: ignore[index]
    events = [obj("Event", at, reason="IssuerUpdated", lastTimestamp=at) for at in (before, after)]
    told = LinkerdIdentity(Snapshot((*found.snapshot.objects, *events)), "linkerd")
    assert told.taken_up == dt.datetime.fromisoformat(after)
    assert told.phase == "renew"


def test_each_change_has_its_objects_and_the_proxies_it_concerns() -> None:
    begun = identity(OLD.certificate, OLD_ISSUER, OLD, proxy(OLD.certificate))
    both = identity(BOTH, OLD_ISSUER, NEW, proxy(BOTH))
    renewed = identity(BOTH, NEW_ISSUER, NEW, proxy(BOTH))
    web = "Deployment shop/web"
    bundle = "ConfigMap linkerd/linkerd-identity-trust-roots"
    assert [step.title for step in trust_steps(begun, NEW, 1)] == [
        "Secret linkerd/linkerd-trust-anchor",
        bundle,
        web,
    ]
    assert [step.title for step in issue_steps(both, NEW_ISSUER)] == [
        "Secret linkerd/linkerd-identity-issuer"
    ]
    assert [step.title for step in renew_steps(renewed, 1)] == [web]
    last, *restarts = retire_steps(renewed, 1)
    assert last.object["data"] == {"ca-bundle.crt": NEW.certificate}
    assert [step.title for step in restarts] == [web]


def test_what_others_renew_or_restart_is_refused_with_a_remedy() -> None:
    alone = obj("Pod", "db-0", "shop", meta={"creationTimestamp": EARLIER}, spec=proxy("")["spec"])
    with pytest.raises(ManualActionRequired, match=r"1 pods must be replaced by hand: Pod shop/db-0"):
        trust_steps(identity(OLD.certificate, OLD_ISSUER, OLD, alone), NEW, 1)
    helm = {"annotations": {"meta.helm.sh/release-name": "linkerd-control-plane"}}
    roots = obj("ConfigMap", "linkerd-identity-trust-roots", meta=helm, data={})
    issuer = secret("linkerd-identity-issuer", OLD_ISSUER)
    with pytest.raises(BadInput, match="belong to a Helm release"):
        require_rotatable(LinkerdIdentity(Snapshot((roots, issuer)), "linkerd"))
    manager = {"annotations": {"cert-manager.io/certificate-name": "linkerd-identity-issuer"}}
    issuer = secret("linkerd-identity-issuer", OLD_ISSUER, meta=manager)
    roots = obj("ConfigMap", "linkerd-identity-trust-roots", data={})
    with pytest.raises(BadInput, match="cert-manager renews"):
        require_rotatable(LinkerdIdentity(Snapshot((roots, issuer)), "linkerd"))


def test_an_issuer_does_not_outlive_its_anchor() -> None:
    short = made_anchor(LINKERD, "cluster.local", 1)
    found = identity(short.certificate, made_issuer(LINKERD, short, "cluster.local", 1), short)
    left = found.anchors[0].not_valid_after_utc - found.issuer.not_valid_after_utc
    assert dt.timedelta(0) <= left < dt.timedelta(minutes=1)
