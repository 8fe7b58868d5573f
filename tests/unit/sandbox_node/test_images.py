"""Which program runs for an image."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from meshkit.sandbox.control_planes.istio.main import SETTINGS as ISTIO
from meshkit.sandbox.control_planes.linkerd.main import SETTINGS as LINKERD
from meshkit.sandbox.control_planes.process import Settings
from meshkit.sandbox.node import images
from meshkit.sandbox.node.environment import NodeConfig, affects_loading, sandbox_environment


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("meshkit.dev/sandbox/web:1", "meshkit.dev/sandbox/web"),
        ("istio/pilot:1.31.4", "docker.io/istio/pilot"),
        ("docker.io/istio/proxyv2@sha256:abc", "docker.io/istio/proxyv2"),
        ("nginx", "docker.io/library/nginx"),
        ("localhost:5000/web:2", "localhost:5000/web"),
    ],
)
def test_a_reference_is_reduced_to_its_repository(reference: str, expected: str) -> None:
    assert images.repository(reference) == expected


def test_an_unknown_image_is_not_imitated() -> None:
    assert images.find("nginx:1.27") is None


def test_a_proxy_image_as_init_container_only_sets_up() -> None:
    found = images.find("docker.io/istio/proxyv2:1.31", is_setup=True)
    assert found is not None
    assert found.role == "setup"


@pytest.mark.parametrize(
    ("image", "argument", "roles"),
    [
        ("docker.io/istio/pilot:1", "discovery", "injector,config,identity"),
        ("ghcr.io/linkerd/controller:1", "destination", "config"),
        ("ghcr.io/linkerd/controller:1", "identity", "identity"),
        ("ghcr.io/linkerd/controller:1", "proxy-injector", "injector"),
        ("cr.l5d.io/linkerd/controller:1", "sp-validator", "profile-validator"),
        ("cr.l5d.io/linkerd/controller:1", "/linkerd-policy-controller", "policy-validator"),
    ],
)
def test_a_control_plane_runs_in_the_role_of_its_argument(image: str, argument: str, roles: str) -> None:
    found = images.find(image)
    assert found is not None
    assert found.command(Path(), [argument, "--more"])[-2:] == ["--roles", roles]


def test_an_unknown_argument_of_a_control_plane_is_refused_by_name() -> None:
    found = images.find("ghcr.io/linkerd/controller")
    assert found is not None
    with pytest.raises(
        ValueError, match=r"does not support the argument 'heartbeat'; it supports destination"
    ):
        found.command(Path(), ["heartbeat"])


@pytest.mark.parametrize("name", ["web", "load", "job"])
def test_the_words_of_a_container_choose_no_other_program(name: str) -> None:
    found = images.find(f"meshkit.dev/sandbox/{name}")
    assert found is not None
    assert found.command(Path(), ["/bin/sh", "-c", "id"]) == found.command(Path(), [])


@pytest.mark.parametrize("name", ["web", "load", "job"])
def test_a_program_gets_every_variable_that_it_speaks_of(name: str) -> None:
    found = images.find(f"meshkit.dev/sandbox/{name}")
    assert found is not None
    told = importlib.import_module(f"meshkit.sandbox.workloads.{name}").__doc__ or ""
    variables = re.findall(r"[A-Z][A-Z_]{3,}", told.partition("Environment:")[2].partition("Control")[0])
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    config = NodeConfig(Path("/run"), "https://127.0.0.1:1", Path("/ca"), Path("/services"))
    own = sandbox_environment(pod, pod["spec"]["containers"][0], "127.7.0.1", config)
    assert set(variables) - found.reads - own.keys() - {"JSON"} == set()
    assert variables


@pytest.mark.parametrize(
    ("image", "settings"), [("docker.io/istio/pilot", ISTIO), ("ghcr.io/linkerd/controller", LINKERD)]
)
def test_a_control_plane_gets_the_lifetime_of_certificates(image: str, settings: Settings) -> None:
    assert settings.lifetime_variable in images.KNOWN[image].reads


def test_no_image_reads_a_variable_that_decides_how_it_is_loaded() -> None:
    read = {name for image in images.KNOWN.values() for name in image.reads}
    assert [name for name in read if affects_loading(name)] == []
