"""Checks of objects that Argo CD or Flux applies from Git: which of their fields others write.

Each remedy has the setting of the tool as YAML on one line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.gitops import GitOpsOwner, declared, owned, owner_of, pointers
from meshkit.kube.metadata import identity, title
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.kube.yaml_output import flow
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.ownership import MANAGER
from meshkit.meshes.view import View

_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_MOST = 3
"""The number of fields that a message names."""


def check(view: View) -> Iterator[Finding]:
    """Find objects of which a GitOps tool and meshkit, or the control plane, write the same fields."""
    writers = facts_of(view.mesh).writers
    for obj in view.snapshot.objects:
        owner = owner_of(obj) if obj["kind"] != "Pod" else None
        if owner is None:
            continue
        yield from _shared(obj, owner)
        if obj["kind"] in _WEBHOOKS and writers:
            yield from _rewritten(obj, owner, writers)


def of_release(obj: Object, route: WeightedRoute) -> Iterator[Finding]:
    """Find the tool that will take back what a release writes to its route object."""
    owner = owner_of(obj)
    if owner is None:
        return
    message = f"{owner} applies it from Git: a sync during the release, or after it, takes the weights back."
    weights = f".spec.{route.rules}[].{route.destinations}[].weight"
    setting = _setting(obj, owner, {"jqPathExpressions": [weights]}, [f"/spec/{route.rules}"])
    remedy = f"{setting} Write the new weights to Git after the promotion."
    yield _finding(codes.GITOPS_TAKES_WEIGHTS_BACK, obj, owner, message, remedy)


def of_change(after: Object, taken_from: Collection[str]) -> Iterator[Finding]:
    """Find the tool from which a planned change takes fields; ``taken_from`` are the fields' managers."""
    owner = owner_of(after)
    if owner is not None and owner.manager in taken_from:
        message = f"{owner} applies it from Git: the next sync takes this change back."
        remedy = "Change it in Git instead, or remove the fields there first."
        yield _finding(codes.GITOPS_SHARES_FIELDS, after, owner, message, remedy)


def _shared(obj: Object, owner: GitOpsOwner) -> Iterator[Finding]:
    theirs = declared(obj, owner)
    if theirs:
        mine = owned(obj, lambda manager: manager.startswith(MANAGER)) & theirs
    else:  # what the tool declares is not known: all of an object that meshkit writes as a whole
        mine = owned(obj, lambda manager: manager in (MANAGER, RELEASE_MANAGER))
    paths = pointers(mine)
    if not paths:
        return
    more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
    message = f"{owner} applies it from Git, and meshkit writes {', '.join(paths[:_MOST])}{more}."
    setting = _setting(obj, owner, {"managedFieldsManagers": [MANAGER, RELEASE_MANAGER]}, paths)
    remedy = f"Remove it from Git or from the intents. Or leave it to meshkit. {setting}"
    yield _finding(codes.GITOPS_SHARES_FIELDS, obj, owner, message, remedy)


def _rewritten(obj: Object, owner: GitOpsOwner, writers: Collection[str]) -> Iterator[Finding]:
    """Find a webhook whose CA bundle or failure policy the control plane writes."""
    written = owned(obj, lambda manager: manager in writers)
    fields = sorted({path[-1].removeprefix("f:") for path in written if path[-1].startswith("f:")})
    if not fields:
        return
    message = (
        f"{owner} applies it from Git, and the control plane ({', '.join(writers)}) writes"
        f" {' and '.join(fields)} of its webhooks."
    )
    paths = [
        f"/webhooks/{number}/{'clientConfig/' if field == 'caBundle' else ''}{field}"
        for number in range(len(obj.get("webhooks") or ()))
        for field in fields
    ]
    remedy = _setting(obj, owner, {"managedFieldsManagers": list(writers)}, paths)
    yield _finding(codes.GITOPS_UNDOES_CONTROL_PLANE, obj, owner, message, remedy)


def _finding(code: Code, obj: Object, owner: GitOpsOwner, message: str, remedy: str) -> Finding:
    """A finding; an info for a HelmRelease, whose drift Flux corrects only if it is told to."""
    return codes.finding(
        code, title(obj), message, remedy, severity="info" if owner.kind == "HelmRelease" else None
    )


def _setting(obj: Object, owner: GitOpsOwner, ignored: dict[str, Any], paths: Collection[str]) -> str:
    """How a tool is told to leave fields alone: ``ignored`` for Argo CD, JSON pointers for Flux."""
    group, kind, namespace, name = identity(obj)
    where = {"namespace": namespace} if namespace else {}
    target = {"kind": kind, **where, "name": name}
    if owner.kind == "Application":
        rule = {**({"group": group} if group else {}), **target, **ignored}
        spec = {
            "ignoreDifferences": [rule],
            "syncPolicy": {"syncOptions": ["RespectIgnoreDifferences=true"]},
        }
        return f"Set in the Application: {flow({'spec': spec})}."
    rule = {"paths": list(paths), "target": target}
    if owner.kind == "HelmRelease":
        drift = {"mode": "enabled", "ignore": [rule]}
        return f"If the HelmRelease corrects drift, set in it: {flow({'spec': {'driftDetection': drift}})}."
    return (
        f"Set in the Kustomization, with Flux 2.9 or later: {flow({'spec': {'ignore': [rule]}})}; or annotate"
        " the object in Git: 'kustomize.toolkit.fluxcd.io/ssa: IfNotPresent'."
    )
