"""The names of ControllerRevisions, which no two workloads share."""

from __future__ import annotations

import re
from typing import Any

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.workloads.revisions import REVISIONS, hash_of
from tests.unit.sandbox_node.stage import deployment, play, until


def workload(kind: str, image: str = "web:1") -> dict[str, Any]:
    made = deployment(image, 1) | {"kind": kind}
    if kind == "DaemonSet":
        del made["spec"]["replicas"]
    return made


def test_a_hash_is_written_as_kubernetes_writes_them_and_depends_on_kind_and_template() -> None:
    hashes = {hash_of(workload(kind, image)) for kind in ("StatefulSet", "DaemonSet") for image in ("a", "b")}
    assert len(hashes) == 4
    assert all(re.fullmatch("[bcdfghjklmnpqrstvwxz2456789]{1,10}", one) for one in hashes)
    assert hash_of(workload("DaemonSet")) == hash_of(workload("DaemonSet"))


def test_a_stateful_set_and_a_daemon_set_of_one_name_both_get_their_revision(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create("daemonsets.apps", workload("DaemonSet"))
        await client.create("statefulsets.apps", workload("StatefulSet"))

        async def both() -> bool:
            found = await client.list(REVISIONS, "default")
            owners = {each["metadata"]["ownerReferences"][0]["kind"] for each in found}
            return owners == {"DaemonSet", "StatefulSet"}

        await until(both)

    play(client, scenario)
