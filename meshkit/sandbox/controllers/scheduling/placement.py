"""Pure functions that choose the node for a pod.

A node is infeasible when it is cordoned, has a taint that the pod does not tolerate, does not match the pod's
``nodeSelector`` or required node affinity, or would violate a topologySpreadConstraint with DoNotSchedule.
Feasible nodes are ranked by the spread of constraints with ScheduleAnyway, then by fewest pods of the same
owner (each node is a zone, so this spreads pods evenly over zones), then by fewest pods. Resources, preferred
node affinity and the affinity of pods are ignored.

The spread follows Kubernetes (kubernetes/pkg/scheduler/framework/plugins/podtopologyspread): the number of
matching pods in a node's domain, including this pod, may exceed that of the emptiest domain by at most
``maxSkew``. The domains come from the nodes that the pod's nodeSelector matches; they include cordoned and
tainted nodes unless the constraint's nodeTaintsPolicy is Honor.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.kube.selectors import holds
from meshkit.sandbox.controllers.objects import Object, controller_of, is_terminating, key_of
from meshkit.sandbox.controllers.scheduling.taints import CORDONED, tolerates, untolerated

_INTEGER = re.compile("-?[0-9]{1,19}")


def choose(pod: Object, nodes: Sequence[Object], placed: Sequence[Object]) -> str | None:
    """Return the node for ``pod``, given the pods already ``placed``, or None when no node fits."""
    fitting = [node for node in nodes if not why_not(pod, node, nodes, placed)]
    owner = controller_of(pod)
    siblings = Counter(
        other["spec"]["nodeName"]
        for other in placed
        if owner is not None
        and (controller_of(other) or {}).get("uid") == owner["uid"]
        and not is_terminating(other)
    )
    all_pods = Counter(other["spec"]["nodeName"] for other in placed)
    preferred = _constraints(pod, "ScheduleAnyway")

    def rank(node: Object) -> tuple[int, int, int, str]:
        name = key_of(node)[1]
        matching = sum(
            _matching(pod, constraint, nodes, placed)[_domain(node, constraint)] for constraint in preferred
        )
        return matching, siblings[name], all_pods[name], name

    return key_of(min(fitting, key=rank))[1] if fitting else None


def refusal(pod: Object, nodes: Sequence[Object], placed: Sequence[Object]) -> str:
    """Return why no node fits the pod, in the format of Kubernetes' scheduler."""
    reasons = Counter(why_not(pod, node, nodes, placed) for node in nodes)
    listed = ", ".join(f"{count} node(s) {reason}" for reason, count in sorted(reasons.items()))
    return f"0/{len(nodes)} nodes are available" + (f": {listed}." if listed else ".")


def why_not(pod: Object, node: Object, nodes: Sequence[Object], placed: Sequence[Object]) -> str:
    """Return why the node is infeasible, or an empty string."""
    if (node.get("spec") or {}).get("unschedulable") and not tolerates(pod, CORDONED):
        return "were unschedulable"
    if taint := untolerated(pod, node):
        return f"had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if not may_use(pod["spec"], node):
        return "didn't match Pod's node affinity/selector"
    for constraint in _constraints(pod, "DoNotSchedule"):
        if not _within_skew(pod, node, constraint, nodes, placed):
            return "didn't match pod topology spread constraints"
    return ""


def may_use(spec: Object, node: Object) -> bool:
    """Return whether the node matches the ``nodeSelector`` and the required node affinity of a pod's spec."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return holds({"matchLabels": spec.get("nodeSelector") or {}}, node["metadata"].get("labels")) and (
        required is None or any(_term(term, node) for term in required.get("nodeSelectorTerms") or ())
    )


def _term(term: Object, node: Object) -> bool:
    """Return whether the node meets every requirement of a term; an empty term matches no node."""
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": key_of(node)[1]}
    requirements = [
        *((labels, each) for each in term.get("matchExpressions") or ()),
        *((fields, each) for each in term.get("matchFields") or ()),
    ]
    return bool(requirements) and all(_meets(values, each) for values, each in requirements)


def _meets(values: Mapping[str, str], requirement: Object) -> bool:
    if requirement["operator"] not in ("Gt", "Lt"):
        return holds({"matchExpressions": [requirement]}, values)
    given, (bound, *_) = values.get(requirement["key"], ""), requirement.get("values") or ("",)
    if not (_INTEGER.fullmatch(given) and _INTEGER.fullmatch(bound)):
        return False
    return int(given) > int(bound) if requirement["operator"] == "Gt" else int(given) < int(bound)


def _constraints(pod: Object, unsatisfiable: str) -> list[Object]:
    constraints = pod["spec"].get("topologySpreadConstraints") or ()
    return [constraint for constraint in constraints if constraint["whenUnsatisfiable"] == unsatisfiable]


def _within_skew(
    pod: Object, node: Object, constraint: Object, nodes: Sequence[Object], placed: Sequence[Object]
) -> bool:
    domain = _domain(node, constraint)
    if not domain:
        return False
    counts = _matching(pod, constraint, nodes, placed)
    fewest = min(counts.values()) if len(counts) >= constraint.get("minDomains", 1) else 0
    itself = int(holds(_selector(pod, constraint), pod["metadata"].get("labels")))
    return counts[domain] + itself - fewest <= int(constraint["maxSkew"])


def _matching(
    pod: Object, constraint: Object, nodes: Sequence[Object], placed: Sequence[Object]
) -> Counter[str]:
    """Count the matching pods in each domain that the pod may use; empty domains count 0."""
    honoured = constraint.get("nodeTaintsPolicy") == "Honor"
    domains = {
        key_of(node)[1]: _domain(node, constraint)
        for node in nodes
        if may_use(pod["spec"], node) and not (honoured and untolerated(pod, node))
    }
    counts = Counter({domain: 0 for domain in domains.values() if domain})
    selector = _selector(pod, constraint)
    for other in placed:
        domain = domains.get(other["spec"]["nodeName"], "")
        same = other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        if domain and same and not is_terminating(other) and holds(selector, other["metadata"].get("labels")):
            counts[domain] += 1
    return counts


def _domain(node: Object, constraint: Mapping[str, Any]) -> str:
    return str((node["metadata"].get("labels") or {}).get(constraint["topologyKey"], ""))


def _selector(pod: Object, constraint: Object) -> Object | None:
    """Return the constraint's selector with the pod's values of ``matchLabelKeys`` added."""
    selector: Object | None = constraint.get("labelSelector")
    labels = pod["metadata"].get("labels") or {}
    own = {key: labels[key] for key in constraint.get("matchLabelKeys") or () if key in labels}
    if selector is None or not own:
        return selector
    return {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **own}}
