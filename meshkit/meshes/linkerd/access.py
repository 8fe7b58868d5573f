"""Plan ``Access`` for Linkerd: a Server for each port, authentications and authorization policies.

A Server closes its port as soon as it exists, so it is applied last, after the policies that allow requests.
Rules by path or method are HTTPRoutes on the Server. A request that no route matches would get status 404
instead of 403, so a further route matches the rest. The kubelet's probes, which are allowed automatically
only for a Server without routes, get a separate route.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.security import Access, Caller
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import annotations_of
from meshkit.kube.selectors import selects
from meshkit.kube.steps import Step
from meshkit.meshes import access
from meshkit.meshes.access import Account, Shadow, Target
from meshkit.meshes.base import cannot
from meshkit.meshes.gateway_api.routes import HTTP_ROUTE
from meshkit.meshes.linkerd.meaning.authorization import ALL, INBOUND_POLICY
from meshkit.meshes.linkerd.traffic.routable import opaque_reason

SERVER = Kind("policy.linkerd.io/v1beta3", "Server")
AUTHORIZATION_POLICY = Kind("policy.linkerd.io/v1alpha1", "AuthorizationPolicy")
MESH_TLS = Kind("policy.linkerd.io/v1alpha1", "MeshTLSAuthentication")
NETWORK = Kind("policy.linkerd.io/v1alpha1", "NetworkAuthentication")
_MOST_MATCHES = 64  # of one rule of an HTTPRoute
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_ON_TRIAL = "meshkit.dev/access-mode"
"""The annotation of a Server that is on trial; its value is ``shadow``."""


def _is_shadow(server: Object) -> bool:
    marked = annotations_of(server).get(_ON_TRIAL) == "shadow"
    return marked or server["spec"].get("accessPolicy") == "audit"


def _enforced(server: Object) -> Object:
    return {**server, "spec": {**server["spec"], "accessPolicy": "deny"}}


def _callers(authentication: Object) -> tuple[Caller, ...]:
    found = []
    for each in authentication["spec"].get("identityRefs") or ():
        space = each.get("namespace") or authentication["metadata"]["namespace"]
        if each["kind"] == "ServiceAccount":
            found.append(Caller(namespace=space, service_account=each["name"]))
        else:
            found.append(Caller(namespace=each["name"]))
    return tuple(found)


SHADOW = Shadow(SERVER, _is_shadow, _enforced, MESH_TLS, _callers)


def needs(intent: Access) -> tuple[Need, ...]:
    """The objects that ``plan`` reads."""
    return access.needs(intent, SERVER)


def plan(intent: Access, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps for authentications, policies and routes, and finally the Servers."""
    target, callers = access.target(intent, snapshot), access.accounts(intent, snapshot)
    _refuse_opaque(intent, target, snapshot)
    _refuse_rival_servers(intent, target, snapshot)
    _refuse_reopening(intent, target, snapshot)
    objects = [_mesh_tls(intent, callers)]
    if intent.paths or intent.methods:
        objects += _by_route(intent, target)
    else:
        name = _name(intent)
        objects += [
            _policy(intent, f"{name}-{port}", SERVER, _server_name(intent, port), (MESH_TLS, name))
            for port in target.ports
        ]
    return tuple(Step(item) for item in (*objects, *(_server(intent, target, p) for p in target.offered)))


def _name(intent: Access) -> str:
    return f"{intent.service}-{intent.name}"


def _server_name(intent: Access, port: int) -> str:
    return f"{intent.service}-{port}"


def _mesh_tls(intent: Access, callers: tuple[Account, ...]) -> dict[str, Any]:
    """A MeshTLSAuthentication by references, which, unlike names, do not depend on the trust domain."""
    references = [
        {"kind": "ServiceAccount", "name": caller.name, "namespace": caller.namespace}
        if caller.name
        else {"kind": "Namespace", "name": caller.namespace}
        for caller in callers
    ]
    marks = access.marks(intent)
    return obj(
        MESH_TLS, _name(intent), intent.namespace, annotations=marks, spec={"identityRefs": references}
    )


def _policy(intent: Access, name: str, kind: Kind, target: str, who: tuple[Kind, str]) -> dict[str, Any]:
    spec = {
        "targetRef": {"group": kind.group, "kind": kind.kind, "name": target},
        "requiredAuthenticationRefs": [{"group": who[0].group, "kind": who[0].kind, "name": who[1]}],
    }
    return obj(AUTHORIZATION_POLICY, name, intent.namespace, spec=spec)


def _server(intent: Access, target: Target, port: int) -> dict[str, Any]:
    spec = {
        "podSelector": {"matchLabels": dict(target.selector)},
        "port": port,
        "proxyProtocol": "unknown",
        "accessPolicy": "deny",
    }
    marks = {}
    if intent.mode == "shadow":
        spec["accessPolicy"], marks = _policy_on_trial(target), {_ON_TRIAL: "shadow"}
    return obj(SERVER, _server_name(intent, port), intent.namespace, annotations=marks, spec=spec)


def _policy_on_trial(target: Target) -> str:
    """The accessPolicy that lets in whom the pods let in without a Server.

    ``audit`` lets in everybody, so under another default policy, such as that of strict mutual TLS, the
    Server keeps that. Whom only the default lets in is counted with it, and is refused once it is ``deny``.
    """
    found = {annotations_of(pod).get(INBOUND_POLICY, ALL) for pod in target.pods} or {ALL}
    if found <= {ALL, "audit"}:
        return "audit"
    if len(found) > 1 or "deny" in found:
        listed = " and ".join(sorted(found))
        problem = f"a Server replaces the default policy of its pods, which is {listed}."
        remedy = (
            "Restart the pods so that all have one default policy, other than deny; or use mode: enforce."
        )
        raise BadInput("access.mode", problem, remedy=remedy)
    return found.pop()


def _by_route(intent: Access, target: Target) -> list[dict[str, Any]]:
    """The routes and policies for paths and methods, for all other requests, and for probes."""
    paths, methods = intent.paths or ("/*",), intent.methods or (None,)
    matches = [_match(path, method) for path, method in product(paths, methods)]
    if len(matches) > _MOST_MATCHES:
        instead = (
            f"{len(matches)} pairs of path and method; a route holds {_MOST_MATCHES}. Use several Access."
        )
        raise cannot("Linkerd", Access, "paths", instead)
    made = []
    probed = {port: _probe_paths(target.pods, port) for port in target.ports}
    if any(probed.values()):
        everywhere = [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]
        name = f"{intent.service}-probes"
        made.append(obj(NETWORK, name, intent.namespace, spec={"networks": everywhere}))
    for port, probes in probed.items():
        if probes:  # First: of two routes that match alike the older one counts.
            name, who = f"{_server_name(intent, port)}-probes", (NETWORK, f"{intent.service}-probes")
            asked = [{"path": {"type": "Exact", "value": path}, "method": "GET"} for path in probes]
            made += [_policy(intent, name, HTTP_ROUTE, name, who), _route(intent, name, port, asked)]
        name, who = f"{_name(intent)}-{port}", (MESH_TLS, _name(intent))
        made += [_policy(intent, name, HTTP_ROUTE, name, who), _route(intent, name, port, matches)]
        made.append(_route(intent, f"{_server_name(intent, port)}-others", port, [_match("/*", None)]))
    return made


def _match(path: str, method: str | None) -> dict[str, Any]:
    how = "PathPrefix" if path.endswith("/*") else "Exact"
    match: dict[str, Any] = {"path": {"type": how, "value": path.removesuffix("/*") or "/"}}
    return {**match, "method": method} if method else match


def _route(intent: Access, name: str, port: int, matches: Sequence[Object]) -> dict[str, Any]:
    parent = {"group": SERVER.group, "kind": SERVER.kind, "name": _server_name(intent, port)}
    spec = {"parentRefs": [parent], "rules": [{"matches": list(matches)}]}
    return obj(HTTP_ROUTE, name, intent.namespace, spec=spec)


def _probe_paths(pods: Iterable[Object], port: int) -> list[str]:
    """The paths that kubelet asks for on a port of these pods."""
    asked = (
        (container[probe]["httpGet"], container)
        for pod in pods
        for container in pod["spec"].get("containers") or ()
        for probe in _PROBES
        if "httpGet" in (container.get(probe) or {})
    )
    paths = {str(get.get("path") or "/") for get, container in asked if _number(get, container) == port}
    return sorted(path.partition("?")[0] for path in paths)


def _number(get: Object, container: Object) -> int | None:
    if isinstance(get["port"], int):
        return get["port"]
    ports = container.get("ports") or ()
    return next((p["containerPort"] for p in ports if p.get("name") == get["port"]), None)


def _refuse_opaque(intent: Access, target: Target, snapshot: Snapshot) -> None:
    """Reject HTTP rules on a port that Linkerd takes for plain TCP."""
    service = snapshot.find("Service", intent.service, intent.namespace)
    if service is None or not (intent.paths or intent.methods):
        return
    for port in target.service_ports:
        if why := opaque_reason(service, port, target.pods):
            field = "paths" if intent.paths else "methods"
            instead = f"It takes port {port['port']} for plain TCP because of {why}: leave it out."
            raise cannot("Linkerd", Access, field, instead)


def _refuse_rival_servers(intent: Access, target: Target, snapshot: Snapshot) -> None:
    """Raise an error for a second Server on a port, which Linkerd rejects."""
    mine = {_server_name(intent, port) for port in target.offered}
    for server in snapshot.of("Server", intent.namespace):
        spec, name = server["spec"], server["metadata"]["name"]
        labels = (spec.get("podSelector") or {}).get("matchLabels") or {}
        rules_them = spec["port"] in target.offered and any(selects(labels, pod) for pod in target.pods)
        if name not in mine and rules_them:
            problem = f"Server {intent.namespace}/{name} already rules port {spec['port']} of its pods."
            remedy = "Delete that Server, or give access by AuthorizationPolicies on it by hand."
            raise BadInput("access.service", problem, remedy=remedy)


def _refuse_reopening(intent: Access, target: Target, snapshot: Snapshot) -> None:
    """Raise an error for a shadow of a port that is closed: its Server would let everybody in again."""
    mine = {_server_name(intent, port) for port in target.offered}
    for server in snapshot.of("Server", intent.namespace) if intent.mode == "shadow" else ():
        if server["metadata"]["name"] in mine and not _is_shadow(server):
            port = server["spec"]["port"]
            problem = f"port {port} of its pods is closed already: a shadow would open it to every caller."
            remedy = "Undo the change that enforced it first, or use mode: enforce."
            raise BadInput("access.mode", problem, remedy=remedy)
