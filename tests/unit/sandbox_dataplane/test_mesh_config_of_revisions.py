"""The mesh config of a revision of istiod is in a ConfigMap with the name of the revision."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes import process
from meshkit.sandbox.control_planes.istio.main import SETTINGS


def config_map(name: str, mesh: str | None) -> dict[str, Any]:
    meta = {"name": name, "namespace": "istio-system"}
    return {"metadata": meta, "data": {} if mesh is None else {"mesh": mesh}}


CLOSED, OPEN = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "outboundTrafficPolicy: {mode: ALLOW_ANY}"


@pytest.mark.parametrize(
    ("found", "registry_only"),
    [
        ({"istio": CLOSED, "istio-canary": OPEN}, True),
        ({"istio": OPEN, "istio-canary": CLOSED}, False),
        ({"istio-canary": CLOSED}, True),
        ({"istio-ca-root-cert": None, "istio-canary": CLOSED}, True),
        ({"istio-ca-root-cert": None}, False),
    ],
    ids=["default", "default beside", "revision alone", "beside others", "none"],
)
def test_it_holds_where_there_is_no_default(found: dict[str, str | None], registry_only: bool) -> None:
    registry = Registry({"configmaps": [config_map(name, mesh) for name, mesh in found.items()]})
    assert MeshConfig.of(registry)[0].registry_only is registry_only


@pytest.mark.parametrize(("revision", "name"), [("default", "istio"), ("canary", "istio-canary")])
def test_a_revision_of_istiod_follows_its_own(
    revision: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = {
        "REVISION": revision,
        "POD_IP": "127.0.0.1",
        "POD_NAME": "istiod-1",
        "POD_NAMESPACE": "istio-system",
        "MESHKIT_RUN_DIR": str(tmp_path),
        "MESHKIT_IMAGE": "pilot:1.31.0",
        "MESHKIT_MOUNTS": "{}",
    }
    replica = process.ControlPlane(cast(Any, None), SETTINGS, ["config"], environment)
    assert replica.configurator()._mirror._named == {"configmaps": name}
