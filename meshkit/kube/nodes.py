"""What a node says about itself: which images it can run, and whether it can be switched off."""

from __future__ import annotations

from meshkit.facts import Object

PROCESS_RUNTIME = "meshkit"
"""The name of the container runtime that runs a pod's containers as processes, from images built into it."""
POWERED_OFF = "node.meshkit.dev/powered-off"
"""The annotation that switches a node with this runtime off: every process on it ends at once."""


def runtime(node: Object) -> str:
    """The name of the node's container runtime, such as ``containerd``."""
    info = node.get("status", {}).get("nodeInfo", {})
    return str(info.get("containerRuntimeVersion", "")).partition("://")[0]


def has_built_in_images(node: Object) -> bool:
    """Whether the node can run the images of the manifests that meshkit writes itself."""
    return runtime(node) == PROCESS_RUNTIME


def can_be_switched_off(node: Object) -> bool:
    """Whether the node obeys the annotation ``POWERED_OFF``."""
    return runtime(node) == PROCESS_RUNTIME


def is_switched_off(node: Object) -> bool:
    """Whether the annotation ``POWERED_OFF`` is set."""
    return (node["metadata"].get("annotations") or {}).get(POWERED_OFF) == "true"
