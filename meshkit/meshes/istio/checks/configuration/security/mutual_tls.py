"""Checks that clients and servers agree on mutual TLS, by port and workload."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live
from meshkit.meshes.istio.checks.configuration.security import identities
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.hosts import Host, HostPort
from meshkit.meshes.istio.meaning.mutual_tls import namespace_mode
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.hosts import full_host, host_of
from meshkit.meshes.model.outbound import OriginTLS, cluster_name
from meshkit.meshes.model.pods import target_port


def check(world: World) -> Iterator[Finding]:
    """Find competing PeerAuthentications, and clients that send other than what servers accept or ask for."""
    yield from _rivals(world)
    yield from dict.fromkeys(_contradictions(world))
    yield from dict.fromkeys(_never_begun(world))


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
            yield _rivalry(namespace, names, whom)
    yield from dict.fromkeys(_overlapping(world))


def _overlapping(world: World) -> Iterator[Finding]:
    """Find pods that PeerAuthentications with different selectors have in common."""
    selecting: dict[int, list[tuple[str, str]]] = defaultdict(list)
    pods: dict[int, Object] = {}
    for policy in world.registry.of("peerauthentications"):
        selector = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        namespace = policy["metadata"]["namespace"]
        if namespace == world.registry.root_namespace:
            continue  # Its selector has no effect there, which another code tells.
        for pod in filter(is_live, world.registry.pods_with(selector, namespace)):
            pods[id(pod)] = pod
            selecting[id(pod)].append((_text(tuple(sorted(selector.items()))), policy["metadata"]["name"]))
    for number, found in selecting.items():
        if len(dict(found)) > 1:
            namespace, name = pods[number]["metadata"]["namespace"], pods[number]["metadata"]["name"]
            yield _rivalry(namespace, dict(found).values(), f"pod {name}")


def _rivalry(namespace: str, names: Iterable[str], whom: str) -> Finding:
    message = (
        f"PeerAuthentications {', '.join(sorted(names))} all apply to {whom}: only the oldest has effect."
    )
    return codes.finding(codes.RIVAL_POLICIES, f"Namespace {namespace}", message)


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
            elif tls is not None:
                yield from _unnamed(world, perspective.caller.namespace, port, servers, rule, named)


def _unnamed(
    world: World, caller: str, port: HostPort, servers: list[Object] | None, rule: Object, named: str
) -> Iterator[Finding]:
    """Find plaintext to servers whose policies name these callers by an identity."""
    for pod in servers or ():
        number = target_port(pod, port.source)
        policy = identities.lost(world, pod, number, caller) if number is not None else ""
        if policy:
            message = (
                f"clients in namespace {caller} send no mutual TLS to {named}, so they have no identity, "
            )
            message += f"and {policy} names them by it."
            yield codes.finding(codes.IDENTITY_WITHOUT_TLS, title(rule), message)
            return


def _never_begun(world: World) -> Iterator[Finding]:
    """Find strict ports to which sidecars begin no mutual TLS by themselves, and which no rule names."""
    policies = world.registry.of("peerauthentications")
    if not any("STRICT" in str(policy.get("spec")) for policy in policies):
        return
    for service in world.registry.of("services"):
        namespace = service["metadata"]["namespace"]
        if world.mesh.automatic_tls and namespace_mode(world.registry, namespace) != "DISABLE":
            continue
        for perspective in world.perspectives(host_of(service)):
            host = perspective.hosts.get(host_of(service))
            if host is None:
                continue
            for port in host.ports:
                strict = _strict(world, host, port, world.servers(host, {}))
                policy = perspective.clusters.policies[cluster_name(port.number, "", host.name)]
                if strict and policy.tls is None:
                    message = (
                        f"clients send plaintext to port {port.number}, where {strict} mutual TLS only: 503."
                    )
                    yield codes.finding(codes.STRICT_WITHOUT_TLS, title(service), message)


def _strict(world: World, host: Host, port: HostPort, servers: list[Object] | None) -> str:
    """The servers that accept mutual TLS only, in words; empty if there are none."""
    if not servers:
        is_strict = servers is not None and namespace_mode(world.registry, host.namespace) == "STRICT"
        return f"namespace {host.namespace} accepts" if is_strict else ""
    strict = [pod for pod in servers if world.mode(pod, target_port(pod, port.source)) == "STRICT"]
    if not strict:
        return ""
    return (
        f"pod {strict[0]['metadata']['name']} accepts" if len(strict) == 1 else f"{len(strict)} pods accept"
    )


def _encrypted(
    world: World, host: Host, port: HostPort, servers: list[Object] | None, rule: Object, named: str
) -> Iterator[Finding]:
    """Find mutual TLS to servers none of which can accept it."""
    if servers and all(world.mode(pod, target_port(pod, port.source)) in ("", "DISABLE") for pod in servers):
        message = f"clients send mutual TLS to {named}, and none of its pods accepts it: 503."
        yield codes.finding(codes.MUTUAL_TLS_TO_PLAINTEXT, title(rule), message)
