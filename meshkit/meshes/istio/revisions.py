"""Revisions of istiod: control planes side by side, each with a name, pods and webhooks of its own.

A revision is what the label ``istio.io/rev`` names; the one without a name is ``default``. A tag is a second
name that can be given to another revision later: a webhook that calls that revision's istiod. Names and
selectors are those of Istio's charts, so that what meshkit plans beside them fits.
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
"""The label of a namespace or pod that asks for a revision (or tag), and of whatever belongs to one."""
TAG = "istio.io/tag"
INJECTION = "istio-injection"
"""The label that asks for whatever is the default; it wins over REVISION."""
INJECT = "sidecar.istio.io/inject"
"""The label or annotation of a pod that asks for a sidecar, or refuses one."""
DEFAULT = DEFAULT_REVISION
"""The revision without a name, and the tag that takes its place."""
MARKED_BY = "meshkit-injection"
"""The field manager of what ``injection_mark`` writes."""
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")


@dataclass(frozen=True)
class Revision:
    """One revision; ``name`` is empty for the one without a name."""

    name: str = ""

    @property
    def label(self) -> str:
        """What the label REVISION says of it."""
        return self.name or DEFAULT

    def named(self, base: str) -> str:
        """The name of one of its objects: ``istiod-1-31-4``, or ``istiod``."""
        return f"{base}-{self.name}" if self.name else base

    @property
    def labels(self) -> dict[str, str]:
        """Of each of its objects."""
        return {"app": "istiod", REVISION: self.label}

    @property
    def selector(self) -> dict[str, str]:
        """Of its pods. The one without a name has a label of its own, so as not to select another's."""
        return {"app": "istiod", REVISION: self.name} if self.name else {"istio": "pilot"}


def webhook(revision: Revision, namespace: str, failure: str) -> dict[str, Any]:
    """The injection webhooks of a revision; istiod writes their caBundle."""
    labels = {"app": "sidecar-injector", REVISION: revision.label}
    name = revision.named("istio-sidecar-injector")
    return _configuration(name, labels, revision.label, revision, namespace, failure)


def tag_webhook(tag: str, revision: Revision, namespace: str, failure: str) -> dict[str, Any]:
    """A tag that names a revision. Moving it changes nothing until pods are made anew."""
    labels = {"app": "sidecar-injector", REVISION: revision.label, TAG: tag}
    return _configuration(f"istio-revision-tag-{tag}", labels, tag, revision, namespace, failure)


def tags(snapshot: Snapshot) -> dict[str, str]:
    """Tag -> the revision it names, as its webhook has it."""
    labelled = (hook["metadata"].get("labels") or {} for hook in snapshot.of(WEBHOOK.kind))
    return {found[TAG]: found.get(REVISION, DEFAULT) for found in labelled if TAG in found}


def revisions(snapshot: Snapshot) -> set[str]:
    """The revisions whose webhooks a cluster holds, by label."""
    labelled = (hook["metadata"].get("labels") or {} for hook in snapshot.of(WEBHOOK.kind))
    return {found[REVISION] for found in labelled if REVISION in found and TAG not in found}


def asked(namespace: Object) -> str:
    """The revision or tag that a namespace asks for; empty where it asks for none."""
    labels = namespace["metadata"].get("labels") or {}
    if INJECTION in labels:
        return DEFAULT if labels[INJECTION] == "enabled" else ""
    return str(labels.get(REVISION, ""))


def injection_mark(namespace: str, revision: str | None) -> Step:
    """The label by which a namespace asks for a revision or tag (None: for the default), in place of the one
    that meshkit wrote before.
    """
    label = {REVISION: revision} if revision else {INJECTION: "enabled"}
    return namespace_part(namespace, "injection", labels=label)


def tag(name: str, revision: str, namespace: str, failure: str) -> Step:
    """The step that gives a tag to a revision."""
    hook = tag_webhook(name, Revision("" if revision == DEFAULT else revision), namespace, failure)
    return Step(hook, wait=Wait("trusted", 60))


def foreign_mark(snapshot: Snapshot, namespace: Object, asks: str) -> str:
    """Whose the label or the tag is by which a namespace asks, where it is not meshkit's: a revision beside a
    label ``istio-injection`` of others would be written in vain, and others write theirs back.
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
    """Prefix -> what a webhook asks of namespaces and of pods, for a revision or tag of this name."""

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
