"""Mutual TLS: do what servers demand and what clients send fit together?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import notes
from meshkit.meshes.linkerd.planner import INBOUND_POLICY
from meshkit.meshes.view import View, finding


def check(view: View) -> Iterator[Finding]:
    """Contradictions between policies, and between policies and pods."""
    if view.mesh == "istio":
        yield from _rivals(view)
        yield from _plain_clients(view)
    else:
        yield from _stale_policies(view)


def _mode(policy: Object) -> str:
    return str(((policy.get("spec") or {}).get("mtls") or {}).get("mode", "UNSET"))


def _without_selector(view: View) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = defaultdict(list)
    for policy in view.of("PeerAuthentication"):
        if not (policy.get("spec") or {}).get("selector"):
            found[policy["metadata"]["namespace"]].append(policy)
    return found


def _rivals(view: View) -> Iterator[Finding]:
    for namespace, policies in _without_selector(view).items():
        if len(policies) > 1:
            listed = ", ".join(sorted(policy["metadata"]["name"] for policy in policies))
            message = f"PeerAuthentications {listed} all hold for the namespace: only the oldest counts."
            yield finding("MK0701", "warning", f"Namespace {namespace}", message, "Keep one of them.")


def _plain_clients(view: View) -> Iterator[Finding]:
    """DestinationRules that send plain text to namespaces which take mutual TLS only."""
    modes = {
        namespace: _mode(min(policies, key=lambda one: str(one["metadata"].get("creationTimestamp", ""))))
        for namespace, policies in _without_selector(view).items()
    }
    general = modes.get(view.home, "UNSET")
    for rule in view.of("DestinationRule"):
        tls = ((rule["spec"].get("trafficPolicy") or {}).get("tls") or {}).get("mode")
        parts = str(rule["spec"].get("host", "")).split(".")
        target = parts[1] if len(parts) > 1 else rule["metadata"]["namespace"]
        own = modes.get(target, "UNSET")
        strict = (general if own == "UNSET" else own) == "STRICT"
        if tls in ("DISABLE", "SIMPLE") and strict:
            message = (
                f"it makes clients send tls {tls} to namespace {target}, which takes mutual TLS only: 503."
            )
            yield finding("MK0702", "error", rule, message, "Remove tls from it: Istio chooses by itself.")


def _stale_policies(view: View) -> Iterator[Finding]:
    """Linkerd copies the inbound policy onto a pod when it is made: a later change waits for a restart."""
    wanted = {ns["metadata"]["name"]: notes(ns).get(INBOUND_POLICY) for ns in view.of("Namespace")}
    stale: dict[str, int] = defaultdict(int)
    for pod in view.meshed:
        namespace = pod["metadata"]["namespace"]
        policy = wanted.get(namespace)
        if policy and notes(pod).get(INBOUND_POLICY) != policy:
            stale[namespace] += 1
    for namespace, count in stale.items():
        message = (
            f"{count} pods were made before the inbound policy {wanted[namespace]} and do not follow it."
        )
        yield finding("MK0703", "warning", f"Namespace {namespace}", message, "Restart its workloads.")
