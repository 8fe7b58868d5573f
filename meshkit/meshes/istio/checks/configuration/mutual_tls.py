"""Checks that clients and servers agree on mutual TLS, by port and workload."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.hosts import Host, HostPort
from meshkit.meshes.istio.meaning.mutual_tls import namespace_mode, workload_mode
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.model.outbound import OriginTLS, cluster_name
from meshkit.meshes.model.pods import target_port


def check(world: World) -> Iterator[Finding]:
    """Find competing PeerAuthentications, and DestinationRules that contradict what servers accept."""
    yield from _rivals(world)
    yield from dict.fromkeys(_contradictions(world))


def _rivals(world: World) -> Iterator[Finding]:
    """Find PeerAuthentications for the same pods: only the oldest has effect."""
    alike: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = defaultdict(list)
    for policy in world.registry.of("peerauthentications"):
        selector = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        alike[policy["metadata"]["namespace"], tuple(sorted(selector.items()))].append(
            policy["metadata"]["name"]
        )
    for (namespace, selector), names in alike.items():
        if len(names) > 1:
            whom = f"pods with {_text(selector)}" if selector else "the namespace"
            message = f"PeerAuthentications {', '.join(sorted(names))} all apply to {whom}: "
            message += "only the oldest has effect."
            yield codes.finding(codes.RIVAL_POLICIES, f"Namespace {namespace}", message)


def _text(selector: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={value}" for key, value in selector)


def _contradictions(world: World) -> Iterator[Finding]:
    for rule in world.registry.of("destinationrules"):
        if not _sets_tls(rule["spec"]):
            continue
        own = rule["metadata"]["namespace"]
        pattern = full_host(str(rule["spec"].get("host", "")).lower(), own)
        for perspective in world.perspectives(pattern, namespace=own):
            for name in _hosts(perspective, pattern):
                yield from _of_host(world, perspective, perspective.hosts[name], rule)


def _sets_tls(spec: Mapping[str, Any]) -> bool:
    policies = [spec.get("trafficPolicy") or {}]
    policies += [subset.get("trafficPolicy") or {} for subset in spec.get("subsets") or ()]
    ports = [entry for policy in policies for entry in policy.get("portLevelSettings") or ()]
    return any(policy.get("tls") for policy in (*policies, *ports))


def _hosts(perspective: Perspective, pattern: str) -> list[str]:
    if not pattern.startswith("*"):
        return [pattern] if pattern in perspective.hosts else []
    return [name for name in perspective.hosts if covers(pattern, name)]


def _of_host(world: World, perspective: Perspective, host: Host, rule: Object) -> Iterator[Finding]:
    """Compare what a caller sends to each port and subset with what its servers accept."""
    effective = perspective.rules.of(host)
    for subset, subset_labels in effective.subsets.items():
        own = effective.subset_policies.get(subset) or {}
        source = effective.sources.get(subset if _sets_tls({"trafficPolicy": own}) else "")
        if source is not rule:
            continue
        servers = world.servers(host, subset_labels)
        for port in host.ports:
            tls = perspective.clusters.policies[cluster_name(port.number, subset, host.name)].tls
            named = f"port {port.number} of {host.name}" + (f", subset {subset}" if subset else "")
            if tls == "always":
                yield from _encrypted(world, host, port, servers, rule, named)
            elif tls is not None and (strict := _strict(world, host, port, servers)):
                sent = "TLS of its own" if isinstance(tls, OriginTLS) else "plaintext"
                message = f"clients send {sent} to {named}, where {strict} mutual TLS only: 503."
                yield codes.finding(codes.PLAINTEXT_TO_STRICT, title(rule), message)


def _strict(world: World, host: Host, port: HostPort, servers: list[Object] | None) -> str:
    """The servers that accept mutual TLS only, in words; empty if there are none."""
    if not servers:
        is_strict = servers is not None and namespace_mode(world.registry, host.namespace) == "STRICT"
        return f"namespace {host.namespace} accepts" if is_strict else ""
    strict = [pod for pod in servers if _mode(world, port, pod) == "STRICT"]
    if not strict:
        return ""
    return (
        f"pod {strict[0]['metadata']['name']} accepts" if len(strict) == 1 else f"{len(strict)} pods accept"
    )


def _encrypted(
    world: World, host: Host, port: HostPort, servers: list[Object] | None, rule: Object, named: str
) -> Iterator[Finding]:
    """Find mutual TLS to servers none of which can accept it."""
    if servers and all(_mode(world, port, pod) in ("", "DISABLE") for pod in servers):
        message = f"clients send mutual TLS to {named}, and none of its pods accepts it: 503."
        yield codes.finding(codes.MUTUAL_TLS_TO_PLAINTEXT, title(rule), message)


def _mode(world: World, port: HostPort, pod: Object) -> str:
    """The mode of a pod's port; empty if no sidecar captures it."""
    number = target_port(pod, port.source)
    skipped = annotations_of(pod).get(PROXY.skipped_ports, "").replace(" ", "").split(",")
    if id(pod) not in world.meshed or number is None or str(number) in skipped:
        return ""
    return workload_mode(world.registry, pod["metadata"]["namespace"], labels(pod), number)
