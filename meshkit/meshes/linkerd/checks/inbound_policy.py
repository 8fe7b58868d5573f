"""Linkerd's inbound policy, which a pod gets when it is created: a later change waits for a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import annotations_of
from meshkit.meshes.linkerd.planner import INBOUND_POLICY
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Pods that follow another inbound policy than their namespace asks for."""
    policies = {
        namespace["metadata"]["name"]: annotations_of(namespace).get(INBOUND_POLICY)
        for namespace in view.of("Namespace")
    }
    outdated: Counter[str] = Counter()
    for pod in view.meshed:
        namespace = pod["metadata"]["namespace"]
        policy = policies.get(namespace)
        if policy and annotations_of(pod).get(INBOUND_POLICY) != policy:
            outdated[namespace] += 1
    for namespace, count in outdated.items():
        message = (
            f"{count} pods were created before the inbound policy {policies[namespace]} and do not follow it."
        )
        yield codes.finding(codes.POLICY_NOT_FOLLOWED, f"Namespace {namespace}", message)
