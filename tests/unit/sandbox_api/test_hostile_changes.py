"""No change of an object, whatever endpoint it comes through, is an internal error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.sandbox_api.patch_types import APPLY, PATCHES, STRATEGIC_PATCH, typed
from tests.unit.sandbox_api.server import CM, Connection, run

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def test_no_shape_of_a_patch_of_a_scale_is_an_internal_error(tmp_path: Path, api: Any) -> None:
    async def scenario(to: Connection) -> None:
        await to.request("POST", DEPLOYMENTS, json=api.deployment())
        scale = f"{DEPLOYMENTS}/web/scale?fieldManager=m&dryRun=All"
        config = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}}
        shapes = [
            *PATCHES,
            (STRATEGIC_PATCH, {"spec": {"replicas": "x"}}),
            (APPLY, {**config, "spec": 1}),
        ]
        failed = []
        for media_type, patch in shapes:
            code, body, _ = await to.request(
                "PATCH", scale, data=json.dumps(patch).encode(), headers=typed(media_type)
            )
            if isinstance(body, str) or body.get("reason") == "InternalError":
                failed.append((media_type, patch, code, body))
        assert not failed

    run(scenario, tmp_path)


def test_an_annotation_of_client_side_apply_that_nests_too_deeply_is_no_obstacle(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        annotations = {LAST_APPLIED: "[" * 100_000}
        await to.request("POST", CM, json={"metadata": {"name": "c", "annotations": annotations}})
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
        code, body, _ = await to.request(
            "PATCH", f"{CM}/c?fieldManager=kubectl", data=json.dumps(config).encode(), headers=typed(APPLY)
        )
        assert (code, body["data"]) == (200, {"a": "b"})

    run(scenario, tmp_path)
