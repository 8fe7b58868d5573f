"""Recognize objects that meshkit made, and make steps that delete objects."""

from __future__ import annotations

from meshkit.facts import Object
from meshkit.kube import manifests
from meshkit.kube.helm import RELEASE, WAIT_S
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S

MANAGER = "meshkit"
"""The field manager of objects that meshkit made; fields in objects of others have separate managers."""
_AWAITED = {
    "Deployment": Wait("available", ROLLOUT_TIMEOUT_S),
    "MutatingWebhookConfiguration": Wait("trusted", 60),
    "CustomResourceDefinition": Wait("established", manifests.CRD_TIMEOUT_S),
    RELEASE.kind: Wait("trusted", WAIT_S),
}
"""The condition that an undo waits for, by kind."""


def is_ours(one: Object) -> bool:
    """Whether meshkit made an object, or owns a part of it as its own."""
    return any(entry["manager"] == MANAGER for entry in one["metadata"].get("managedFields") or ())


def deletion_step(one: Object, *, renewed: bool = False) -> Step:
    """A step that deletes an object, with the condition that an undo waits for.

    ``renewed`` is for an object that a control plane writes for itself.
    """
    meta = {key: one["metadata"][key] for key in ("name", "namespace") if one["metadata"].get(key)}
    reference = {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": meta}
    return Step(reference, removed=True, wait=_AWAITED.get(one["kind"]), renewed=renewed)
