"""Checks of a mesh's environment: Gateway API, Pod Security, network policies and other meshes."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.checks import nodes
from meshkit.checks.agents import has_node_agent
from meshkit.facts import Finding, Object, Severity
from meshkit.kube.metadata import labels, title
from meshkit.kube.selectors import selects
from meshkit.meshes import registry
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.injection import rules_of
from meshkit.meshes.view import View

_GATEWAY_API = "gateway.networking.k8s.io"
_ENFORCE = "pod-security.kubernetes.io/enforce"


def before(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find what prevents the installation of the mesh."""
    yield from nodes.check(view, rules)
    yield from _gateway_api(view, rules)
    yield from _left_behind(view)
    for component in view.components:
        owner = labels(component).get("app.kubernetes.io/managed-by")
        who = f", managed by {owner}" if owner else ""
        message = f"a control plane is installed already{who}."
        yield codes.finding(codes.ALREADY_INSTALLED, title(component), message)
    yield from _others(view)


def around(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find what impairs the installed mesh."""
    if view.components:
        yield from _gateway_api(view, rules)
    else:
        remedy = f"Install it: 'meshkit setup apply control-plane --mesh {view.mesh}' shows the plan first."
        message = "no control plane is installed."
        yield codes.finding(codes.NO_CONTROL_PLANE, f"mesh {view.mesh}", message, remedy)
    yield from nodes.check(view, rules)
    yield from _others(view)
    yield from _pod_security(view, rules)
    for component in view.components:
        yield from _closed_ports(view, rules, component)


def _gateway_api(view: View, rules: MeshChecks) -> Iterator[Finding]:
    definitions = {crd["metadata"]["name"]: crd for crd in view.of("CustomResourceDefinition")}
    for resource, version, severity in rules.gateway_versions:
        name = f"{resource}.{_GATEWAY_API}"
        if name in definitions:
            served = [entry["name"] for entry in definitions[name]["spec"]["versions"] if entry["served"]]
            if version not in served:
                where = title(definitions[name])
                message = f"it serves {', '.join(served) or 'no version'}, and {view.mesh} reads {version}."
                yield codes.finding(codes.GATEWAY_API_VERSION, where, message, severity=severity)
        elif rules.requires_gateway_api:
            message = f"it is not installed, and {view.mesh} looks for it only when it starts."
            where = f"CustomResourceDefinition {name}"
            yield codes.finding(codes.GATEWAY_API_MISSING, where, message)


def _left_behind(view: View) -> Iterator[Finding]:
    """Find webhooks of an earlier installation; without a server they refuse the pods of the next one."""
    for hook in view.hooks if not view.components else ():
        message = f"an earlier installation of {view.mesh} left it behind, and no server answers it."
        yield codes.finding(codes.WEBHOOK_LEFT_BEHIND, f"webhook {hook['name']}", message)


def _others(view: View) -> Iterator[Finding]:
    for mesh in registry.MESHES:
        other = View(view.snapshot, mesh, view.now)
        if mesh != view.mesh and other.components:
            shared = sorted(view.meshed_namespaces & other.meshed_namespaces)
            where = f"; both have pods in {', '.join(shared)}" if shared else ""
            message = f"{mesh} is installed too{where}: a pod can be in one mesh only."
            severity: Severity = "error" if shared else "warning"
            yield codes.finding(codes.SECOND_MESH, f"Namespace {other.home}", message, severity=severity)


def _pod_security(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find namespaces whose Pod Security level refuses the init container, which needs NET_ADMIN."""
    for namespace in view.of("Namespace"):
        level = labels(namespace).get(_ENFORCE)
        if level not in ("baseline", "restricted") or namespace["metadata"]["name"] == view.home:
            continue
        captured = any(
            container["name"] == rules.init_container
            for pod in view.of("Pod", namespace["metadata"]["name"])
            for container in pod["spec"].get("initContainers", ())
        )
        if captured or (rules_of(view.mesh).request(namespace) and not has_node_agent(view)):
            message = f"Pod Security {level} refuses {rules.init_container}, which needs NET_ADMIN."
            yield codes.finding(codes.POD_SECURITY_REFUSES_INIT, title(namespace), message)


def _closed_ports(view: View, rules: MeshChecks, component: Object) -> Iterator[Finding]:
    """Find network policies that block a port of the control plane that others call."""
    pods = view.pods_of(component)
    policies = [
        policy
        for policy in view.of("NetworkPolicy", component["metadata"]["namespace"])
        if "Ingress" in (policy["spec"].get("policyTypes") or ("Ingress",))
        and any(selects((policy["spec"].get("podSelector") or {}).get("matchLabels") or {}, p) for p in pods)
    ]
    for called in rules.called_ports:
        if not component["metadata"]["name"].endswith(called.component):
            continue
        if policies and not any(_opens(policy, called.port) for policy in policies):
            names = ", ".join(policy["metadata"]["name"] for policy in policies)
            message = f"network policies {names} close port {called.port}, which {called.caller} must reach."
            remedy = f"Allow TCP {called.port} from anywhere."
            yield codes.finding(codes.POLICY_CLOSES_PORT, title(component), message, remedy)


def _opens(policy: Object, port: int) -> bool:
    """Whether a policy allows a port for any peer; named ports are assumed to match."""
    for rule in policy["spec"].get("ingress") or ():
        ports = rule.get("ports")
        if not ports:
            return True
        for entry in ports:
            first = entry.get("port", port)
            if not isinstance(first, int) or first <= port <= entry.get("endPort", first):
                return True
    return False
