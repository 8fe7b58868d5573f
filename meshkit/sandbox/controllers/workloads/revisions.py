"""The pod templates that a StatefulSet or DaemonSet has had, kept as ControllerRevisions.

A template's revision is found again by its hash, so ``kubectl rollout undo`` (which writes an old template
back) only gives the old ControllerRevision the highest number.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from meshkit.kube.selectors import holds
from meshkit.sandbox.controllers.objects import (
    Object,
    controlled_by,
    controller_of,
    key_of,
    owner_reference,
)

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

REVISIONS = "controllerrevisions.apps"
REVISION_HASH = "controller-revision-hash"
"""The label of a pod with the revision of its template."""


async def of_owner(client: LocalClient, owner: Object) -> list[Object]:
    """Return the ControllerRevisions of a workload, oldest first; those without an owner are adopted."""
    found = []
    for revision in await client.list(REVISIONS, owner["metadata"]["namespace"]):
        if controller_of(revision) is None and holds(
            owner["spec"]["selector"], revision["metadata"].get("labels")
        ):
            namespace, name = key_of(revision)
            patch = {"metadata": {"ownerReferences": [owner_reference(owner)]}}
            revision = await client.merge_patch(REVISIONS, name, namespace, patch)
        if controlled_by(revision, owner):
            found.append(revision)
    return sorted(found, key=lambda each: int(each["revision"]))


async def newest(client: LocalClient, owner: Object, known: Sequence[Object], hash_label: str) -> Object:
    """Return the ControllerRevision of the workload's present template, which has the highest number.

    ``known`` are its existing ones, oldest first.
    """
    template = owner["spec"]["template"]
    digits = hash_of(owner)
    number = int(known[-1]["revision"]) if known else 0
    found = next((each for each in known if template_of(each) == template), None)
    if found is None:
        return await client.create(REVISIONS, _revision(owner, digits, number + 1, hash_label))
    if found is known[-1]:
        return found
    namespace, name = key_of(found)
    return await client.merge_patch(REVISIONS, name, namespace, {"revision": number + 1})


async def clean_up(
    client: LocalClient, owner: Object, known: Sequence[Object], used: Collection[str]
) -> None:
    """Delete the oldest ControllerRevisions beyond ``revisionHistoryLimit``, except those of ``used``."""
    unused = [each for each in known if each["metadata"]["name"] not in used]
    for each in unused[: max(0, len(unused) - owner["spec"].get("revisionHistoryLimit", 10))]:
        namespace, name = key_of(each)
        await client.delete(REVISIONS, name, namespace)


def template_of(revision: Object) -> Object:
    """Return the pod template of a ControllerRevision."""
    template: Object = dict(((revision.get("data") or {}).get("spec") or {}).get("template") or {})
    template.pop("$patch", None)
    return template


_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes writes hashes with: no vowels and few digits, so that no words appear."""


def hash_of(owner: Object) -> str:
    """Return the letters and digits that identify the present template of a workload.

    As in Kubernetes, workloads of two kinds with one name and one template have different ones: DaemonSets
    hash the template, StatefulSets the content of the ControllerRevision.
    """
    template = owner["spec"]["template"]
    hashed = template if owner["kind"] == "DaemonSet" else _data(template)
    number = 2166136261
    for byte in json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode():
        number = number * 16777619 % 2**32 ^ byte
    return "".join(_LETTERS[ord(digit) % len(_LETTERS)] for digit in str(number))


def _data(template: Object) -> Object:
    """The patch that ``kubectl rollout undo`` applies."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def _revision(owner: Object, digits: str, number: int, hash_label: str) -> Object:
    namespace, name = key_of(owner)
    template = copy.deepcopy(owner["spec"]["template"])
    labels = {**(template["metadata"].get("labels") or {}), hash_label: digits}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name}-{digits}",
            "namespace": namespace,
            "labels": labels,
            "annotations": owner["metadata"].get("annotations") or {},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": _data(template),
        "revision": number,
    }
