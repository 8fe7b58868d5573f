"""Certificates: names, chains, lifetimes, and what a new leader believes."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509

from meshkit.meshes.istio.meaning.proxy import PROXY as ISTIO
from meshkit.meshes.linkerd.meaning.proxy import PROXY as LINKERD
from meshkit.meshes.model.durations import duration_s
from meshkit.sandbox.control_planes import identity
from meshkit.sandbox.control_planes.issuer import renewal_time
from meshkit.sandbox.dataplane import envoy


@pytest.fixture(scope="module")
def authority() -> identity.Authority:
    return identity.Authority.create("istio-ca")


def names_of(leaf: identity.Leaf) -> list[str]:
    certificate = x509.load_pem_x509_certificate(leaf.certificate.encode())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert extension.critical
    return [name.value for name in extension.value]


def test_names_are_those_of_the_mesh(authority: identity.Authority) -> None:
    istio = identity.workload_leaf(authority, ISTIO, "shop", "web")
    linkerd = identity.workload_leaf(authority, LINKERD, "shop", "web")
    assert names_of(istio) == ["spiffe://cluster.local/ns/shop/sa/web"]
    assert names_of(linkerd) == ["web.shop.serviceaccount.identity.linkerd.cluster.local"]


def test_a_leaf_is_signed_by_its_authority_and_renewed_at_half_life(authority: identity.Authority) -> None:
    lifetime = dt.timedelta(hours=2)
    leaf = identity.workload_leaf(authority, ISTIO, "shop", "web", lifetime)
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    x509.load_pem_x509_certificate(leaf.certificate.encode()).verify_directly_issued_by(root)
    left = leaf.renew_after - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)


def test_a_good_certificate_on_disk_is_kept_and_one_of_another_root_is_not(
    authority: identity.Authority, tmp_path: Path
) -> None:
    assert renewal_time(tmp_path, authority.roots) is None
    leaf = identity.workload_leaf(authority, ISTIO, "shop", "web")
    identity.write_secrets(tmp_path, leaf, authority.roots)
    found = renewal_time(tmp_path, authority.roots)
    assert found is not None
    assert abs(found - leaf.renew_after) < dt.timedelta(minutes=1)
    assert renewal_time(tmp_path, "another root") is None


def test_the_key_is_readable_by_its_owner_only(authority: identity.Authority, tmp_path: Path) -> None:
    identity.write_secrets(tmp_path, identity.workload_leaf(authority, ISTIO, "a", "b"), authority.roots)
    assert stat.S_IMODE((tmp_path / "sds-cert.json").stat().st_mode) == 0o600


def test_an_unchanged_document_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rds.json"
    first = envoy.write(path, [{"a": 1}])
    inode = path.stat().st_ino
    assert envoy.write(path, [{"a": 1}]) == first == envoy.version_on_disk(path)
    assert path.stat().st_ino == inode
    assert envoy.write(path, [{"a": 2}]) != first


@pytest.mark.parametrize(("text", "seconds"), [("24h0m0s", 86400), ("1.5s", 1.5), ("500ms", 0.5), ("", None)])
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


def test_a_duration_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_s("10")
