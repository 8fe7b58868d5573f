"""Checks of the ambient mode: policies and routes that need a waypoint, and pods that are not captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, title
from meshkit.meshes.istio.ambient import policies
from meshkit.meshes.istio.ambient.membership import MODE, is_ambient, is_captured
from meshkit.meshes.istio.ambient.waypoints import USE
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.authorization import holds_for
from meshkit.meshes.istio.meaning.virtual_services import hosts_of
from meshkit.meshes.istio.revisions import INJECTION, REVISION
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, host_of
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find what has no effect or another effect for the pods of the ambient mode."""
    world = World(view)
    for namespace in view.of("Namespace"):
        yield from _two_modes(namespace)
    yield from _not_captured(view)
    yield from _bindings(world)
    for policy in world.registry.of("authorizationpolicies"):
        yield from _policy(world, policy)
    yield from _routes(world)


def _two_modes(namespace: Object) -> Iterator[Finding]:
    given = labels(namespace)
    if is_ambient(namespace) and (given.get(INJECTION) == "enabled" or given.get(REVISION)):
        other = INJECTION if given.get(INJECTION) == "enabled" else REVISION
        message = f"{MODE}=ambient and {other}={given[other]} are both set: its new pods get a sidecar."
        yield codes.finding(codes.TWO_MODES, title(namespace), message)


def _not_captured(view: View) -> Iterator[Finding]:
    """Find running pods of the mode without the annotation of the CNI agent; files have no such pods."""
    for pod in view.sidecarless:
        running = (pod.get("status") or {}).get("phase") == "Running" and pod["spec"].get("nodeName")
        if running and not is_captured(pod):
            message = f"it is of the ambient mode and runs on node {pod['spec']['nodeName']} uncaptured."
            yield codes.finding(codes.POD_NOT_CAPTURED, title(pod), message)


def _bindings(world: World) -> Iterator[Finding]:
    """Find labels that name a waypoint which does not take the requests."""
    seen: set[str] = set()
    for service in world.registry.of("services"):
        served = world.waypoints.of_service(service)
        if served.problem and _is_reached(world, service):
            own = USE in labels(service)
            where = title(service) if own else f"Namespace {service['metadata']['namespace']}"
            if where not in seen:
                seen.add(where)
                yield codes.finding(codes.WAYPOINT_CANNOT_SERVE, where, f"{served.problem}.")
    for pod in world.registry.of("pods"):
        if (
            id(pod) in world.ambient
            and USE in labels(pod)
            and (served := world.waypoints.of_pod(pod)).problem
        ):
            yield codes.finding(codes.WAYPOINT_CANNOT_SERVE, title(pod), f"{served.problem}.")


def _is_reached(world: World, service: Object) -> bool:
    """Whether a Service leads to pods of the mode, or says itself which waypoint it wants."""
    return USE in labels(service) or bool(_pods_of(world, service))


def _pods_of(world: World, service: Object) -> list[Object]:
    """The pods of the ambient mode behind a Service."""
    return [pod for pod in world.registry.pods_of(service) if id(pod) in world.ambient]


def _policy(world: World, policy: Object) -> Iterator[Finding]:
    if policies.target_refs(policy):
        for target in policies.target_refs(policy):
            if problem := _unserved(world, policy, target):
                yield codes.finding(codes.POLICY_WITHOUT_WAYPOINT, title(policy), f"{problem}.")
        return
    if not policies.is_for_ztunnel(policy) or not (effect := policies.beyond_ztunnel(policy)):
        return
    namespace = policy["metadata"]["namespace"]
    wanted = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    at_home = namespace == world.view.home
    pods = world.registry.of("pods", None if at_home else namespace)
    chosen = [pod for pod in pods if id(pod) in world.ambient and holds_for(policy, pod)]
    home = next((n for n in world.registry.of("namespaces") if n["metadata"]["name"] == namespace), {})
    if chosen:
        whom = title(chosen[0]) + (f" and {len(chosen) - 1} more pods" if len(chosen) > 1 else "")
    elif not wanted and not at_home and is_ambient(home):
        whom = f"the pods of namespace {namespace}"
    else:
        return
    message = f"for {whom} of the ambient mode: {effect}."
    yield codes.finding(codes.POLICY_NEEDS_WAYPOINT, title(policy), message)


def _unserved(world: World, policy: Object, target: Mapping[str, Any]) -> str:
    """Why no waypoint enforces a policy for a target that is a Service or waypoint; else empty."""
    namespace, kind, name = policy["metadata"]["namespace"], target.get("kind"), target.get("name")
    if kind != "Service":
        return ""
    service = world.registry.find("services", namespace, str(name))
    if service is None:
        known = world.registry.of("services", namespace)
        return f"there is no Service {namespace}/{name}" if known else ""
    served = world.waypoints.of_service(service)
    if served.problem:
        return f"{served.problem}, so nothing enforces the policy for Service {name}"
    if not served.waypoint:
        return f"no waypoint serves Service {name}, so nothing enforces the policy"
    return ""


def _routes(world: World) -> Iterator[Finding]:
    """Find routes for Services of the mode without a waypoint."""
    bare = {
        host_of(service): service
        for service in world.registry.of("services")
        if _pods_of(world, service) and not world.waypoints.of_service(service).works
    }
    if not bare:
        return
    for item in world.registry.of("virtualservices"):
        if item["spec"].get("http") and "mesh" in (item["spec"].get("gateways") or ["mesh"]):
            yield from (_route(item, bare[host]) for host in hosts_of(item) if host in bare)
    for resource in ("httproutes", "grpcroutes"):
        for item in world.registry.of(resource):
            own = item["metadata"]["namespace"]
            for parent in item["spec"].get("parentRefs") or ():
                host = f"{parent.get('name')}.{parent.get('namespace') or own}.svc.{CLUSTER_DOMAIN}"
                if parent.get("kind") == "Service" and host in bare:
                    yield _route(item, bare[host])


def _route(item: Object, service: Object) -> Finding:
    message = f"no waypoint serves {title(service)}: callers of the ambient mode do not follow it."
    return codes.finding(codes.ROUTE_NEEDS_WAYPOINT, title(item), message)
