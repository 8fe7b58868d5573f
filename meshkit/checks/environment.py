"""What the cluster around a mesh allows: nodes, Gateway API, Pod Security, network policies, other meshes."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.checks import mesh_labels as marks
from meshkit.checks import nodes
from meshkit.checks.agents import has_cni
from meshkit.facts import Finding, Object, Severity
from meshkit.kube.metadata import labels
from meshkit.kube.selectors import selects
from meshkit.meshes.registry import MESHES
from meshkit.meshes.view import View, finding

_HTTP, _GRPC = "httproutes", "grpcroutes"
_GROUP = "gateway.networking.k8s.io"
_READ: dict[str, tuple[tuple[str, str, Severity], ...]] = {
    "istio": (
        *((name, "v1beta1", "error") for name in ("gateways", "gatewayclasses", _HTTP, "referencegrants")),
        *((name, "v1", "warning") for name in ("gateways", "gatewayclasses")),
        *((name, "v1", "error") for name in (_HTTP, _GRPC)),
    ),
    "linkerd": ((_HTTP, "v1", "error"), (_GRPC, "v1", "error")),
}
"""Mesh -> definitions of the Gateway API, the version it reads, how bad it is not to serve that. Both routes
are errors without v1, because meshkit writes that.
"""
CALLED = {"istio": ((15012, "proxies"), (15017, "the API server")), "linkerd": ((8443, "the API server"),)}
_INIT = {"istio": "istio-init", "linkerd": "linkerd-init"}
_ENFORCE = "pod-security.kubernetes.io/enforce"


def before(view: View) -> Iterator[Finding]:
    """What stands against installing the mesh."""
    yield from nodes.check(view)
    yield from _gateway_api(view)
    yield from _left_behind(view)
    yield from marks.alpha(view)
    for component in view.components:
        owner = labels(component).get("app.kubernetes.io/managed-by")
        who = f" and belongs to {owner}" if owner else ""
        message = f"a control plane is there already{who}."
        yield finding("MK1201", "warning", component, message, "Change it the way it was installed.")
    yield from _others(view)


def around(view: View) -> Iterator[Finding]:
    """What stands against the mesh that is installed."""
    if not view.components:
        remedy = f"Install it: 'meshkit plan -f FILE --mesh {view.mesh}' with a ControlPlane."
        yield finding("MK1200", "error", f"mesh {view.mesh}", "no control plane is installed.", remedy)
    else:
        yield from _gateway_api(view)
    yield from nodes.check(view)
    yield from _others(view)
    yield from _pod_security(view)
    for component in view.components:
        yield from _reachable(view, component)


def _gateway_api(view: View) -> Iterator[Finding]:
    definitions = {one["metadata"]["name"]: one for one in view.of("CustomResourceDefinition")}
    for plural, version, severity in _READ[view.mesh]:
        name = f"{plural}.{_GROUP}"
        if name in definitions:
            served = [v["name"] for v in definitions[name]["spec"]["versions"] if v["served"]]
            if version not in served:
                message = f"it serves {', '.join(served) or 'no version'}, not {version}."
                remedy = "Install Gateway API 1.1 or later."
                yield finding("MK1402", severity, definitions[name], message, remedy)
        elif view.mesh == "linkerd":
            message = (
                f"CustomResourceDefinition {name} is not installed, and Linkerd reads kinds at its start."
            )
            remedy = "Install the Gateway API before Linkerd, or restart linkerd-destination after it."
            yield finding("MK1403", "warning", name, message, remedy)


def _left_behind(view: View) -> Iterator[Finding]:
    """What an installation before left: webhooks that nobody answers refuse the pods of the next one."""
    for hook in view.hooks if not view.components else ():
        message = f"it is left of a {view.mesh} that is gone, and nobody answers it."
        remedy = "Delete its configuration before installing."
        yield finding("MK0507", "error", f"webhook {hook['name']}", message, remedy)


def _others(view: View) -> Iterator[Finding]:
    for mesh in MESHES:
        other = View(view.snapshot, mesh, view.now)
        if mesh != view.mesh and other.components:
            shared = sorted(view.meshed_namespaces & other.meshed_namespaces)
            where = f"; both have pods in {', '.join(shared)}" if shared else ""
            message = f"{mesh} is installed too{where}: a pod can be in one mesh only."
            severity: Severity = "error" if shared else "warning"
            yield finding(
                "MK1202", severity, f"Namespace {other.home}", message, "Keep their namespaces apart."
            )


def _pod_security(view: View) -> Iterator[Finding]:
    """The init container that captures traffic needs NET_ADMIN, which ``baseline`` forbids too."""
    for namespace in view.of("Namespace"):
        level = labels(namespace).get(_ENFORCE)
        if level not in ("baseline", "restricted") or namespace["metadata"]["name"] == view.home:
            continue
        pods = view.of("Pod", namespace["metadata"]["name"])
        marked = "istio-injection" in labels(namespace) or "istio.io/rev" in labels(namespace)
        captured = any(
            c["name"] == _INIT[view.mesh] for p in pods for c in p["spec"].get("initContainers", ())
        )
        if captured or (view.mesh == "istio" and marked and not has_cni(view)):
            message = f"Pod Security {level} refuses {_INIT[view.mesh]}, which needs NET_ADMIN."
            yield finding(
                "MK1101", "error", namespace, message, "Install the mesh's CNI plugin, or use privileged."
            )


def _reachable(view: View, component: Object) -> Iterator[Finding]:
    """Network policies that select the control plane's pods must open what is called on them."""
    pods = view.pods_of(component)
    wanted = CALLED[view.mesh]
    if view.mesh == "linkerd" and not component["metadata"]["name"].endswith("proxy-injector"):
        return
    policies = [
        policy
        for policy in view.of("NetworkPolicy", component["metadata"]["namespace"])
        if "Ingress" in (policy["spec"].get("policyTypes") or ("Ingress",))
        and any(selects((policy["spec"].get("podSelector") or {}).get("matchLabels") or {}, p) for p in pods)
    ]
    for port, caller in wanted:
        if policies and not any(_opens(policy, port) for policy in policies):
            listed = ", ".join(policy["metadata"]["name"] for policy in policies)
            message = f"network policies {listed} close port {port}, which {caller} must reach."
            yield finding("MK1301", "error", component, message, f"Allow TCP {port} from anywhere.")


def _opens(policy: Object, port: int) -> bool:
    """Whether a policy lets anyone at all in on a port; named ports are taken to be the right ones."""
    for rule in policy["spec"].get("ingress") or ():
        ports = rule.get("ports")
        if not ports:
            return True
        for each in ports:
            low = each.get("port", port)
            if not isinstance(low, int) or low <= port <= each.get("endPort", low):
                return True
    return False
