"""Linkerd's identity: made once, of the kind Linkerd takes, and its keys nowhere but in Secrets."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from meshkit.checks import certificates
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput
from meshkit.facts import Kind, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.meshes import registry
from meshkit.meshes.linkerd import planner as linkerd
from meshkit.meshes.view import View
from meshkit.operations.change import apply
from meshkit.operations.identity.create import plan_identity
from meshkit.operations.undo import undo

SECRET, NAMESPACE = Kind("v1", "Secret"), Kind("v1", "Namespace")


def secret(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    found = cluster.api.get(SECRET, name, namespace)
    assert found is not None
    return {key: base64.b64decode(text).decode() for key, text in found["data"].items()}


def test_an_issuer_is_signed_by_its_anchor_and_lasts_as_told(cluster: Cluster, namespace: str) -> None:
    apply(
        plan_identity(cluster, mesh="linkerd", namespace=namespace, anchor_days=400, issuer_days=90), cluster
    )
    held = secret(cluster, namespace, "linkerd-identity-issuer")
    anchor = x509.load_pem_x509_certificate(held["ca.crt"].encode())
    issuer = x509.load_pem_x509_certificate(held["tls.crt"].encode())
    issuer.verify_directly_issued_by(anchor)
    assert [c.subject.rfc4514_string() for c in (anchor, issuer)] == [
        "CN=root.linkerd.cluster.local",
        "CN=identity.linkerd.cluster.local",
    ]
    for found, days in ((anchor, 400), (issuer, 90)):
        key = found.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert round((found.not_valid_after_utc - found.not_valid_before_utc) / dt.timedelta(days=1)) == days


def test_charts_and_checks_take_what_was_made(cluster: Cluster, namespace: str) -> None:
    apply(plan_identity(cluster, mesh="linkerd", namespace=namespace), cluster)
    secrets, nodes = cluster.api.list(SECRET, namespace), [{"kind": "Node", "metadata": {"name": "a"}}]
    seen = Snapshot((*secrets, *nodes))
    wanted = ControlPlane(charts="published", namespace=namespace, replicas=1, zones=1)
    steps = linkerd.PLANNER.plan(wanted, seen)
    bundle = next(step for step in steps if step.name == "linkerd-identity-trust-roots")
    held = secret(cluster, namespace, "linkerd-identity-issuer")
    assert bundle.object["data"] == {"ca-bundle.crt": held["ca.crt"]}
    assert held["tls.key"] not in str(steps)
    component = {
        "kind": "Deployment",
        "metadata": {
            "name": "linkerd-identity",
            "namespace": namespace,
            "labels": {"linkerd.io/control-plane-component": "identity"},
        },
    }
    view = View(Snapshot((*seen.objects, component)), "linkerd", dt.datetime.now(dt.UTC))
    assert list(certificates.check(view, registry.mesh("linkerd").checks)) == []


def test_no_key_is_in_the_journal_and_undo_takes_it_all_back(cluster: Cluster, namespace: str) -> None:
    change = apply(plan_identity(cluster, mesh="linkerd", namespace=namespace), cluster)
    told = str(Journal(cluster).records(change.id))
    for name in ("linkerd-identity-issuer", "linkerd-trust-anchor"):
        key = secret(cluster, namespace, name)["tls.key"]
        assert key.splitlines()[1] not in told
        assert base64.b64encode(key.encode()).decode() not in told
    undo(change.id, cluster)
    assert cluster.api.get(SECRET, "linkerd-identity-issuer", namespace) is None


def test_an_identity_that_is_there_is_not_replaced(cluster: Cluster, namespace: str) -> None:
    apply(plan_identity(cluster, mesh="linkerd", namespace=namespace), cluster)
    before = secret(cluster, namespace, "linkerd-identity-issuer")
    with pytest.raises(BadInput, match="already"):
        apply(plan_identity(cluster, mesh="linkerd", namespace=namespace), cluster)
    assert secret(cluster, namespace, "linkerd-identity-issuer") == before


def test_the_namespace_is_made_where_there_is_none_and_left_as_it_is_else(
    cluster: Cluster, namespace: str
) -> None:
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"linkerd.io/is-control-plane": "true"}},
        }
    )
    apply(plan_identity(cluster, mesh="linkerd", namespace=namespace), cluster)
    found = cluster.api.get(NAMESPACE, namespace)
    assert found is not None
    assert found["metadata"]["labels"]["linkerd.io/is-control-plane"] == "true"
    change = apply(plan_identity(cluster, mesh="linkerd", namespace=f"{namespace}-new"), cluster)
    undo(change.id, cluster)
    assert cluster.api.get(NAMESPACE, f"{namespace}-new") is None


def test_an_issuer_does_not_outlive_its_anchor(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(BadInput, match="not between 1 and the 30 days"):
        apply(
            plan_identity(cluster, mesh="linkerd", namespace=namespace, anchor_days=30, issuer_days=31),
            cluster,
        )
