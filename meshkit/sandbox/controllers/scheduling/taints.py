"""Taints of nodes and tolerations of pods. Pure.

As Kubernetes matches them (component-helpers/scheduling/corev1): a toleration without a key tolerates every
key, one without an effect every effect, and ``Exists`` every value.
"""

from __future__ import annotations

from meshkit.sandbox.controllers.objects import Object

UNREACHABLE = "node.kubernetes.io/unreachable"


def untolerated(pod: Object, node: Object) -> Object | None:
    """The first taint that keeps new pods like this one off the node, or None."""
    for taint in _taints(node):
        if taint["effect"] in ("NoSchedule", "NoExecute") and _toleration(pod, taint) is None:
            return taint
    return None


def evicted_after_s(pod: Object, node: Object, default_s: float) -> float | None:
    """After how many seconds of the node's NoExecute taints the pod has to go; None: it may stay.

    ``default_s`` is for the taint of a lost node where the pod says nothing of it; other taints that are not
    tolerated take effect at once.
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


def _taints(node: Object) -> list[Object]:
    return list((node.get("spec") or {}).get("taints") or ())


def _toleration(pod: Object, taint: Object) -> Object | None:
    for each in pod["spec"].get("tolerations") or ():
        same_key = not each.get("key") or each["key"] == taint["key"]
        same_effect = not each.get("effect") or each["effect"] == taint["effect"]
        exists = each.get("operator") == "Exists"
        if same_key and same_effect and (exists or each.get("value", "") == taint.get("value", "")):
            return dict(each)
    return None
