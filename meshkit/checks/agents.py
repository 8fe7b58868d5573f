"""Checks that the mesh's CNI node agent is ready on every node, if pods rely on it."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.checks import MeshChecks, NodeAgent
from meshkit.meshes.view import View


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find node agents that are not ready, and pods that rely on missing node agents."""
    for daemonset in view.of("DaemonSet"):
        status = daemonset.get("status") or {}
        desired, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        if daemonset["metadata"]["name"] == rules.node_agent.daemonset and ready < desired:
            message = f"{ready} of {desired} node agents are ready: no meshed pod starts on the other nodes."
            yield codes.finding(codes.NODE_AGENT_NOT_READY, title(daemonset), message)
    if not has_node_agent(view):
        yield from _missing(view, rules.node_agent)


def has_node_agent(view: View) -> bool:
    """Whether any CNI node agent runs, whatever its name."""
    return any("cni" in daemonset["metadata"]["name"] for daemonset in view.of("DaemonSet"))


def _missing(view: View, agent: NodeAgent) -> Iterator[Finding]:
    relying = {pod["metadata"]["namespace"] for pod in view.meshed if _relies_on(agent, pod)}
    if relying or agent.is_expected(view):
        who = f"pods in {', '.join(sorted(relying))} rely" if relying else "new pods will rely"
        message = f"{who} on CNI node agents, and no DaemonSet runs any."
        yield codes.finding(codes.NODE_AGENT_MISSING, f"mesh {view.mesh}", message)


def _relies_on(agent: NodeAgent, pod: Object) -> bool:
    return any(container["name"] == agent.validator for container in pod["spec"].get("initContainers") or ())
