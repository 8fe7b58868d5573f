"""Checks that clients and servers agree on mutual TLS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find competing PeerAuthentications, and DestinationRules that contradict them."""
    policies = _namespace_policies(view)
    yield from _rivals(policies)
    yield from _plain_clients(view, policies)


def _namespace_policies(view: View) -> Mapping[str, Sequence[Object]]:
    """Namespace -> the PeerAuthentications that apply to all of it."""
    policies: dict[str, list[Object]] = defaultdict(list)
    for policy in view.of("PeerAuthentication"):
        if not (policy.get("spec") or {}).get("selector"):
            policies[policy["metadata"]["namespace"]].append(policy)
    return policies


def _rivals(policies: Mapping[str, Sequence[Object]]) -> Iterator[Finding]:
    for namespace, rivals in policies.items():
        if len(rivals) > 1:
            names = ", ".join(sorted(policy["metadata"]["name"] for policy in rivals))
            message = f"PeerAuthentications {names} all apply to the namespace: only the oldest has effect."
            yield codes.finding(codes.RIVAL_POLICIES, f"Namespace {namespace}", message)


def _plain_clients(view: View, policies: Mapping[str, Sequence[Object]]) -> Iterator[Finding]:
    """Find DestinationRules that disable mutual TLS for namespaces in strict mode."""
    modes = {namespace: _mode(min(rivals, key=_age)) for namespace, rivals in policies.items()}
    mesh_wide = modes.get(view.home, "UNSET")
    for rule in view.of("DestinationRule"):
        tls = ((rule["spec"].get("trafficPolicy") or {}).get("tls") or {}).get("mode")
        host = str(rule["spec"].get("host", "")).split(".")
        target = host[1] if len(host) > 1 else rule["metadata"]["namespace"]
        own = modes.get(target, "UNSET")
        strict = (mesh_wide if own == "UNSET" else own) == "STRICT"
        if tls in ("DISABLE", "SIMPLE") and strict:
            message = f"clients send tls {tls} to namespace {target}, which accepts mutual TLS only: 503."
            yield codes.finding(codes.PLAINTEXT_TO_STRICT, title(rule), message)


def _mode(policy: Object) -> str:
    return str(((policy.get("spec") or {}).get("mtls") or {}).get("mode", "UNSET"))


def _age(policy: Object) -> str:
    return str(policy["metadata"].get("creationTimestamp", ""))
