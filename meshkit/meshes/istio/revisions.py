"""Revisions of istiod: named control planes that run side by side, each with its own pods and webhooks.

The label ``istio.io/rev`` selects a revision; the unnamed one is ``default``. A tag is an alias that can be
moved to another revision: it is a webhook that calls that revision's istiod. Names and selectors are the same
as in Istio's charts, so that meshkit's objects are compatible with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshkit.facts import Kind, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.manifests import namespace_part
from meshkit.kube.metadata import labels as labels_of
from meshkit.kube.metadata import managers
from meshkit.kube.steps import Step, Wait
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.meshes.ownership import is_ours

REVISION = "istio.io/rev"
"""The label of a namespace or pod that selects a revision or tag, and of objects of a revision."""
TAG = "istio.io/tag"
INJECTION = "istio-injection"
"""The label that selects the default revision; it takes precedence over REVISION."""
INJECT = "sidecar.istio.io/inject"
"""The label or annotation of a pod that enables or disables injection."""
DEFAULT = DEFAULT_REVISION
"""The unnamed revision, and the tag that can replace it."""
MARKED_BY = "meshkit-injection"
"""The field manager of what ``injection_mark`` writes."""
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")


@dataclass(frozen=True)
class Revision:
    """A revision; ``name`` is empty for the unnamed one."""

    name: str = ""

    @property
    def label(self) -> str:
        """The value of the label REVISION."""
        return self.name or DEFAULT

    def named(self, base: str) -> str:
        """The name of one of its objects: ``istiod-1-31-4``, or ``istiod``."""
        return f"{base}-{self.name}" if self.name else base

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all its objects."""
        return {"app": "istiod", REVISION: self.label}

    @property
    def selector(self) -> dict[str, str]:
        """The selector of its pods. The unnamed revision has an extra label, to exclude pods of others."""
        return {"app": "istiod", REVISION: self.name} if self.name else {"istio": "pilot"}


def webhook(revision: Revision, namespace: str, failure: str) -> dict[str, Any]:
    """The injection webhooks of a revision; istiod writes their caBundle."""
    labels = {"app": "sidecar-injector", REVISION: revision.label}
    name = revision.named("istio-sidecar-injector")
    return _configuration(name, labels, revision.label, revision, namespace, failure)


def tag_webhook(tag: str, revision: Revision, namespace: str, failure: str) -> dict[str, Any]:
    """The webhooks of a tag. Moving a tag has no effect on a pod until the pod is created again."""
    labels = {"app": "sidecar-injector", REVISION: revision.label, TAG: tag}
    return _configuration(f"istio-revision-tag-{tag}", labels, tag, revision, namespace, failure)


def tags(snapshot: Snapshot) -> dict[str, str]:
    """Tag -> the revision it refers to, by its webhook."""
    labelled = (hook["metadata"].get("labels") or {} for hook in snapshot.of(WEBHOOK.kind))
    return {found[TAG]: found.get(REVISION, DEFAULT) for found in labelled if TAG in found}


def revisions(snapshot: Snapshot) -> set[str]:
    """The revisions that have webhooks in the cluster."""
    labelled = (hook["metadata"].get("labels") or {} for hook in snapshot.of(WEBHOOK.kind))
    return {found[REVISION] for found in labelled if REVISION in found and TAG not in found}


def asked(namespace: Object) -> str:
    """The revision or tag that a namespace selects, or empty."""
    labels = namespace["metadata"].get("labels") or {}
    if INJECTION in labels:
        return DEFAULT if labels[INJECTION] == "enabled" else ""
    return str(labels.get(REVISION, ""))


def injection_mark(namespace: str, revision: str | None) -> Step:
    """The step that sets a namespace's revision or tag (None: the default); it replaces meshkit's label."""
    label = {REVISION: revision} if revision else {INJECTION: "enabled"}
    return namespace_part(namespace, "injection", labels=label)


def tag(name: str, revision: str, namespace: str, failure: str) -> Step:
    """The step that points a tag to a revision."""
    hook = tag_webhook(name, Revision("" if revision == DEFAULT else revision), namespace, failure)
    return Step(hook, wait=Wait("trusted", 60))


def foreign_mark(snapshot: Snapshot, namespace: Object, asks: str) -> str:
    """The owner of the label or tag by which a namespace selects a revision; empty if meshkit owns it.

    A revision label has no effect beside a label ``istio-injection``, and other owners restore their labels.
    """
    if asks in tags(snapshot):
        hook = snapshot.find(WEBHOOK.kind, f"istio-revision-tag-{asks}")
        return "" if hook is None or is_ours(hook) else f"the tag {asks}, which another program made"
    key = INJECTION if INJECTION in labels_of(namespace) else REVISION
    owners = set(managers(namespace, "metadata", "labels", key)) - {MARKED_BY}
    name = namespace["metadata"]["name"]
    return f"{key} on Namespace {name}, which belongs to {', '.join(sorted(owners))}" if owners else ""


def _configuration(
    name: str, labels: dict[str, str], mark: str, revision: Revision, namespace: str, failure: str
) -> dict[str, Any]:
    service = {"name": revision.named("istiod"), "namespace": namespace, "path": "/inject", "port": 443}
    webhooks = [
        manifests.pod_webhook(
            f"{prefix}.sidecar-injector.istio.io", service, failure, *chosen, reinvocationPolicy="Never"
        )
        for prefix, chosen in _selectors(mark).items()
    ]
    return manifests.obj(WEBHOOK, name, labels=labels, webhooks=webhooks)


def _selectors(mark: str) -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Prefix -> the namespace and pod selectors of a webhook for a revision or tag."""

    def has(key: str, *values: str) -> dict[str, Any]:
        return {"key": key, "operator": "In", "values": list(values)}

    def without(key: str) -> dict[str, Any]:
        return {"key": key, "operator": "DoesNotExist"}

    def not_refused() -> dict[str, Any]:
        return {"key": INJECT, "operator": "NotIn", "values": ["false"]}

    neither = [without(INJECTION), without(REVISION)]
    found = {
        "rev.namespace": ([has(REVISION, mark), without(INJECTION)], [not_refused()]),
        "rev.object": (neither, [not_refused(), has(REVISION, mark)]),
    }
    if mark == DEFAULT:
        found["namespace"] = ([has(INJECTION, "enabled")], [not_refused()])
        found["object"] = (neither, [has(INJECT, "true"), without(REVISION)])
    return found
