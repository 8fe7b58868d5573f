"""Which Kubernetes a version of a mesh supports, and the places of Istio's images and charts."""

from __future__ import annotations

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.meshes.istio import intents
from meshkit.meshes.istio.checks.table import kubernetes_range as of_istio
from meshkit.meshes.istio.control_plane import DEFAULT_VERSION, HUB, PUBLISHED
from meshkit.meshes.istio.retired_hosts import new_place, retired
from meshkit.meshes.linkerd.checks.table import kubernetes_range as of_linkerd
from meshkit.meshes.linkerd.control_plane import DEFAULT_VERSION as LINKERD_VERSION


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.29.8", "1.31 to 1.35"),
        ("1.30.5-distroless", "1.32 to 1.36"),
        (DEFAULT_VERSION, "1.32 to 1.37"),
        ("1.99.0", "None"),
        ("latest", "None"),
    ],
)
def test_a_minor_version_of_istio_supports_a_range(version: str, said: str) -> None:
    assert str(of_istio(version)) == said


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (LINKERD_VERSION, "1.31 and later"),
        ("edge-26.5.1", "1.31 and later"),
        ("edge-26.4.3", "1.23 and later"),
        ("edge-24.1.1", "1.22 and later"),
        ("edge-22.1.1", "None"),
        ("stable-2.14.10", "None"),
    ],
)
def test_an_edge_release_of_linkerd_names_its_oldest(version: str, said: str) -> None:
    assert str(of_linkerd(version)) == said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gcr.io/istio-release", "docker.io/istio"),
        ("gcr.io/istio-release/pilot:1.30.2", "docker.io/istio/pilot:1.30.2"),
        ("registry.istio.io/release/proxyv2:1.30.2-distroless", "docker.io/istio/proxyv2:1.30.2-distroless"),
        ("registry.istio.io/release", "docker.io/istio"),
        ("oci://gcr.io/istio-release/charts", "oci://ghcr.io/istio/release/charts"),
        (
            "https://istio-release.storage.googleapis.com/charts/",
            "https://blob.istio.io/istio-release/charts",
        ),
        (
            "https://istio-release.storage.googleapis.com/releases/1.30.2",
            "https://blob.istio.io/istio-release/releases/1.30.2",
        ),
        ("gcr.io/istio-releases/pilot:1", ""),
        ("example.com/gcr.io/istio-release/pilot:1", ""),
        (HUB, ""),
        (PUBLISHED, ""),
    ],
)
def test_an_old_place_has_a_new_one(old: str, new: str) -> None:
    assert new_place(old) == new


def test_old_places_are_found_in_values_with_their_path() -> None:
    values = {
        "global": {"hub": "gcr.io/istio-release", "tag": "1.30.2"},
        "list": ["registry.istio.io/release"],
    }
    assert list(retired(values)) == [
        ("global.hub", "gcr.io/istio-release"),
        ("list[0]", "registry.istio.io/release"),
    ]


def test_a_planned_control_plane_with_an_old_place_is_warned_of() -> None:
    old = "https://istio-release.storage.googleapis.com/charts"
    intent = ControlPlane(charts=old, values={"global": {"hub": "gcr.io/istio-release"}})
    found = [(each.code, each.object) for each in intents.check(intent, Snapshot())]
    assert found == [("MK1208", "control_plane.charts"), ("MK1208", "control_plane.values.global.hub")]
    assert list(intents.check(ControlPlane(charts="published"), Snapshot())) == []
