"""The CNI node agents of a mesh: one ready on each node, wherever pods count on them."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.meshes.view import View, finding

_AGENT = {"istio": "istio-cni-node", "linkerd": "linkerd-cni"}
_PROOF = {"istio": "istio-validation", "linkerd": "linkerd-network-validator"}
"""The init container that ends a pod whose traffic no agent has captured."""


def check(view: View) -> Iterator[Finding]:
    """Nodes whose agent is not ready, and pods that count on agents where there are none."""
    for agent in view.of("DaemonSet"):
        status = agent.get("status") or {}
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        if agent["metadata"]["name"] == _AGENT[view.mesh] and ready < wanted:
            message = f"{ready} of {wanted} node agents are ready: on the other nodes no meshed pod starts."
            yield finding("MK0410", "error", agent, message, "Look at its pods that are not ready.")
    if not has_cni(view):
        proven = {each["metadata"]["namespace"] for each in view.meshed if _counts_on_agents(view.mesh, each)}
        if proven or view.settings.get("cniEnabled"):
            where = f"pods in {', '.join(sorted(proven))} count" if proven else "new pods will count"
            message = f"{where} on CNI node agents, and no DaemonSet runs any."
            yield finding("MK0411", "error", f"mesh {view.mesh}", message, "Install the mesh's CNI plugin.")


def has_cni(view: View) -> bool:
    """Whether any CNI node agent runs, by whatever name it goes."""
    return any("cni" in one["metadata"]["name"] for one in view.of("DaemonSet"))


def _counts_on_agents(mesh: str, pod: Object) -> bool:
    return any(each["name"] == _PROOF[mesh] for each in pod["spec"].get("initContainers") or ())
