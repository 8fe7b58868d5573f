"""Pure functions that match the taints of nodes with the tolerations of pods.

The rules are those of Kubernetes (component-helpers/scheduling/corev1): a toleration without a key tolerates
every key, one without an effect tolerates every effect, and ``Exists`` tolerates every value.
"""

from __future__ import annotations

from meshkit.sandbox.controllers.objects import Object

UNREACHABLE = "node.kubernetes.io/unreachable"
CORDONED: Object = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
"""The taint that a cordoned node has on other clusters; here ``spec.unschedulable`` stands for it."""


def untolerated(pod: Object, node: Object) -> Object | None:
    """Return the first taint of the node that repels the pod, or None."""
    for taint in _taints(node):
        if taint["effect"] in ("NoSchedule", "NoExecute") and _toleration(pod, taint) is None:
            return taint
    return None


def evicted_after_s(pod: Object, node: Object, default_s: float) -> float | None:
    """Return the seconds until the node's NoExecute taints evict the pod, or None if it may stay.

    ``default_s`` applies to the taint ``unreachable`` of a pod without a toleration for it; other taints that
    the pod does not tolerate take effect immediately.
    """
    waits = []
    for taint in _taints(node):
        if taint["effect"] != "NoExecute":
            continue
        toleration = _toleration(pod, taint)
        if toleration is None:
            waits.append(default_s if taint["key"] == UNREACHABLE else 0.0)
        elif toleration.get("tolerationSeconds") is not None:
            waits.append(max(0.0, float(toleration["tolerationSeconds"])))
    return min(waits, default=None)


def tolerates(pod: Object, taint: Object) -> bool:
    """Return whether the pod tolerates the taint."""
    return _toleration(pod, taint) is not None


def _taints(node: Object) -> list[Object]:
    return list((node.get("spec") or {}).get("taints") or ())


def _toleration(pod: Object, taint: Object) -> Object | None:
    for toleration in pod["spec"].get("tolerations") or ():
        same_key = not toleration.get("key") or toleration["key"] == taint["key"]
        same_effect = not toleration.get("effect") or toleration["effect"] == taint["effect"]
        exists = toleration.get("operator") == "Exists"
        if same_key and same_effect and (exists or toleration.get("value", "") == taint.get("value", "")):
            return dict(toleration)
    return None
