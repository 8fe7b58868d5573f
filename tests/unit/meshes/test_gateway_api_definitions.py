"""Definitions of the Gateway API that somebody else installed are accepted if they serve what is needed."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.meshes.gateway_api.definitions import definitions

BOTH = {"grpcroutes.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io"}


def present(resource: str, manager: str, *versions: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource}.gateway.networking.k8s.io",
            "managedFields": [{"manager": manager, "fieldsV1": {"f:spec": {"f:versions": {}}}}],
        },
        "spec": {"versions": [{"name": name, "served": True} for name in versions]},
    }


def installed(*objects: dict[str, Any]) -> set[str]:
    return {each["metadata"]["name"] for each in definitions(Snapshot(objects))}


def test_what_is_missing_or_meshkits_own_is_installed() -> None:
    assert installed() == BOTH
    assert installed(present("httproutes", "meshkit", "v1")) == BOTH


def test_what_others_installed_stays_as_it_is() -> None:
    theirs = present("httproutes", "kubectl-client-side-apply", "v1", "v1beta1")
    assert installed(theirs) == {"grpcroutes.gateway.networking.k8s.io"}


def test_what_does_not_serve_the_needed_version_is_refused() -> None:
    with pytest.raises(BadInput, match="which helm installed, serves v1beta1 and not v1"):
        installed(present("httproutes", "helm", "v1beta1"))
