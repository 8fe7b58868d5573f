"""Checks of policies that select pods: whom they select, and where Istio ignores them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, title
from meshkit.kube.selectors import contains
from meshkit.meshes.istio.ambient.membership import GATEWAY_NAME
from meshkit.meshes.istio.checks.configuration.world import World

_POLICIES = ("authorizationpolicies", "peerauthentications", "requestauthentications")


def check(world: World) -> Iterator[Finding]:
    """Find policies that select nothing or whose selector Istio ignores."""
    for resource in _POLICIES:
        for policy in world.registry.of(resource):
            yield from _selected(world, policy)
    for resource in ("authorizationpolicies", "requestauthentications", "telemetries"):
        for policy in world.registry.of(resource):
            yield from _at_gateways(world, policy)
    yield from _keys(world)


def _selected(world: World, policy: Object) -> Iterator[Finding]:
    spec, namespace = policy.get("spec") or {}, policy["metadata"]["namespace"]
    selector = _selector(policy)
    at_home = namespace == world.view.home
    if spec.get("targetRef") or spec.get("targetRefs"):
        return
    if at_home and policy["kind"] == "PeerAuthentication" and selector:
        message = "its selector has no effect in the root namespace."
        yield codes.finding(codes.SELECTOR_WITHOUT_EFFECT, title(policy), message)
    elif selector:
        pods = world.pods_anywhere(selector) if at_home else world.registry.pods_with(selector, namespace)
        if not any(id(pod) in world.meshed for pod in pods):
            text = ",".join(f"{key}={value}" for key, value in selector.items())
            message = f"no pod with a sidecar has {text}."
            yield codes.finding(codes.POLICY_SELECTS_NOTHING, title(policy), message)
    elif policy["kind"] == "AuthorizationPolicy" and not at_home and _is_outside(world, namespace):
        message = f"no pod of namespace {namespace} has a sidecar."
        yield codes.finding(codes.POLICY_SELECTS_NOTHING, title(policy), message)


def _is_outside(world: World, namespace: str) -> bool:
    """Whether a namespace has pods and none of them has a sidecar."""
    pods = world.registry.of("pods", namespace)
    return bool(pods) and not any(id(pod) in world.meshed for pod in pods)


def _selector(policy: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return found


def _at_gateways(world: World, policy: Object) -> Iterator[Finding]:
    """Find a selector for pods of a Gateway of the Gateway API, where only targetRefs count."""
    spec = policy.get("spec") or {}
    if spec.get("targetRef") or spec.get("targetRefs") or not _selector(policy):
        return
    for pod in world.gateway_pods.get(policy["metadata"]["namespace"], ()):
        if contains(labels(pod), _selector(policy)):
            message = f"its selector has no effect on the pods of Gateway {labels(pod)[GATEWAY_NAME]}."
            yield codes.finding(codes.SELECTOR_WITHOUT_EFFECT, title(policy), message)
            return


def _keys(world: World) -> Iterator[Finding]:
    """Find an istiod that fetches the keys of tokens from any address."""
    if not world.registry.of("requestauthentications"):
        return
    for component in world.view.components:
        containers = component["spec"]["template"]["spec"].get("containers") or ()
        variables = {v["name"]: v.get("value") for c in containers for v in c.get("env") or ()}
        if not variables.get("BLOCKED_CIDRS_IN_JWKS_URIS"):
            message = "RequestAuthentications exist, and BLOCKED_CIDRS_IN_JWKS_URIS is not set."
            yield codes.finding(codes.JWKS_UNRESTRICTED, title(component), message)
