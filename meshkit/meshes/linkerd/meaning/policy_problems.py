"""What of Linkerd's access policies has no effect, or closes more than it says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from meshkit.kube.selectors import holds
from meshkit.meshes.linkerd.meaning import rate_limits
from meshkit.meshes.linkerd.meaning.authorization import (
    GROUP,
    ROUTES,
    InvalidPolicy,
    clients,
    is_on,
    server_authorizations,
    sources,
    unread_routes,
)
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.pods import captured_of, port_numbers
from meshkit.meshes.model.registry import Registry, age_of

POLICY_IGNORED = "PolicyIgnored"
TARGET_MISSING = "PolicyTargetNotFound"
SERVER_MISSING = "ServerNotFound"
SERVER_SELECTS_NOTHING = "ServerSelectsNothing"
SERVER_CONFLICT = "ServerConflict"
SERVER_REFUSES_ALL = "ServerRefusesAll"
_Ports = dict[int, list[Object]]
"""Port -> the pods with it that a Server selects."""


def problems(registry: Registry) -> tuple[Problem, ...]:
    """The problems of all policies, found once."""
    return registry.derived("problems of policies", lambda: tuple(_problems(registry)))


def _problems(registry: Registry) -> Iterator[Problem]:
    policies = registry.of("authorizationpolicies.policy")
    for item in policies:
        yield from _of_policy(registry, item)
    for item in registry.of("serverauthorizations.policy"):
        try:
            clients(item)
        except InvalidPolicy as problem:
            yield Problem(item, POLICY_IGNORED, f"{problem}; Linkerd leaves the policy out.")
    by_target: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
    for item in policies:
        target = item["spec"]["targetRef"]
        by_target[(item["metadata"]["namespace"], target["kind"], target["name"])].append(item)
    ruled: dict[tuple[str, str, int], list[Object]] = defaultdict(list)
    for server in registry.of("servers.policy"):
        yield from unread_routes(registry, server)
        yield from _not_carried(server)
        yield from unread_routes(registry, server)
        ports = _ports(registry, server)
        for port, pods in ports.items():
            for pod in pods:
                ruled[(server["metadata"]["namespace"], pod["metadata"]["name"], port)].append(server)
        yield from _of_server(registry, server, ports, by_target)
    yield from _rivals(ruled)
    yield from _routes_on_no_server(registry)
    yield from rate_limits.problems(registry)


def _of_policy(registry: Registry, item: Object) -> Iterator[Problem]:
    try:
        sources(registry, item)
    except InvalidPolicy as problem:
        yield Problem(item, POLICY_IGNORED, f"{problem}; Linkerd leaves the policy out.")
    target, namespace = item["spec"]["targetRef"], item["metadata"]["namespace"]
    kind, name = target["kind"], target["name"]
    group = {"": "core"}.get(target.get("group", ""), target.get("group", ""))
    held = {(GROUP, "Server"): "servers.policy", **{pair: resource for resource, pair in ROUTES.items()}}
    resource = held.get((group, kind))
    if resource and registry.find(resource, namespace, name) is None:
        message = f"spec.targetRef: there is no {kind} {namespace}/{name} of the group {group}."
        yield Problem(item, TARGET_MISSING, message)


def _not_carried(server: Object) -> Iterator[Problem]:
    if server["spec"].get("externalWorkloadSelector"):
        message = "spec.externalWorkloadSelector: the sandbox has no external workloads."
        yield Problem(server, "NotSupported", message)


def _ports(registry: Registry, server: Object) -> _Ports:
    selector, written = server["spec"].get("podSelector"), server["spec"]["port"]
    found: _Ports = defaultdict(list)
    for pod in registry.of("pods", server["metadata"]["namespace"]):
        labels = pod["metadata"].get("labels") or {}
        if holds(selector, labels):
            for port in captured_of(pod, PROXY, port_numbers(pod, written)):
                found[port].append(pod)
    return found


def _of_server(
    registry: Registry,
    server: Object,
    ports: _Ports,
    by_target: Mapping[tuple[str, str, str], Sequence[Object]],
) -> Iterator[Problem]:
    meta, spec = server["metadata"], server["spec"]
    namespace, name = meta["namespace"], meta["name"]
    if spec.get("externalWorkloadSelector"):
        return
    if not ports:
        message = f"no proxy of a pod that it selects captures port {spec['port']}: the Server rules nothing."
        yield Problem(server, SERVER_SELECTS_NOTHING, message)
        return
    targets = [(namespace, "Server", name), (namespace, "Namespace", namespace)]
    for resource, (_, kind) in ROUTES.items():
        targets += [
            (namespace, kind, item["metadata"]["name"])
            for item in registry.of(resource, namespace)
            if is_on(item, server)
        ]
    allowed = any(by_target.get(key) for key in targets) or any(server_authorizations(registry, server))
    if spec.get("accessPolicy", "deny") == "deny" and not allowed:
        message = (
            f"it closes port {', '.join(map(str, sorted(ports)))} of its pods, and no AuthorizationPolicy"
            " lets anybody in: all requests but kubelet's probes are refused."
        )
        yield Problem(server, SERVER_REFUSES_ALL, message)


def _rivals(ruled: Mapping[tuple[str, str, int], Sequence[Object]]) -> Iterator[Problem]:
    """Servers that rule nothing, because an older one has the port."""
    for (_, pod, port), servers in ruled.items():
        for younger in sorted(servers, key=age_of)[1:]:
            message = f"port {port} of {pod} has an older Server; this one is ignored."
            yield Problem(younger, SERVER_CONFLICT, message)


def _routes_on_no_server(registry: Registry) -> Iterator[Problem]:
    for resource in ROUTES:
        for item in registry.of(resource):
            for index, parent in enumerate(item["spec"].get("parentRefs") or ()):
                namespace = item["metadata"]["namespace"]
                if (parent.get("group"), parent.get("kind")) != (GROUP, "Server"):
                    continue
                if registry.find("servers.policy", namespace, parent["name"]) is None:
                    message = (
                        f"spec.parentRefs[{index}]: there is no Server {namespace}/{parent['name']};"
                        " the route has no effect."
                    )
                    yield Problem(item, SERVER_MISSING, message)
