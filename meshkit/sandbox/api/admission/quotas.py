"""ResourceQuota: how much a namespace may hold, counted from what it holds.

The check is made in the same breath as the write, on the objects themselves: two writes can never share the
last free place, and the count cannot drift. ``status.used`` is for readers; the quota controller keeps it.
Names, scopes and sentences as in Kubernetes (pkg/quota/v1/evaluator/core, plugin/resourcequota).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from meshkit.kube.quantities import ZERO, Quantity, parse
from meshkit.sandbox.api.admission import compute
from meshkit.sandbox.api.admission.compute import Amounts, Kind
from meshkit.sandbox.api.storage.store import Store

QUOTAS = "resourcequotas"
_ONE = Quantity(Fraction(1))
_BARE = {"pods", "services", "configmaps", "secrets", QUOTAS, "persistentvolumeclaims"}
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_SCOPES = {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass"}


def unknown_scopes(quota: Mapping[str, Any]) -> list[str]:
    """Scopes of a quota that are not evaluated here: such a quota limits nothing."""
    return sorted(name for name, _, _ in _scopes(quota) if name not in _SCOPES)


def refusal(
    store: Store, namespace: str, resource: str, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> str:
    """Why a namespace's quotas do not take the object (in place of ``old``); empty when they do."""
    for stored in store.objects(QUOTAS, namespace):
        quota = stored.object
        hard = {name: parse(value) for name, value in (quota["spec"].get("hard") or {}).items()}
        name = quota["metadata"]["name"]
        if old is None and (lacking := _unspecified(quota, hard, resource, new)):
            return f"failed quota: {name}: must specify {lacking}"
        before = _counted(quota, resource, old) if old is not None else {}
        asked = {each: amount for each, amount in _counted(quota, resource, new).items() if each in hard}
        more = {each: amount for each, amount in asked.items() if amount > before.get(each, ZERO)}
        if not more:
            continue
        held = used(store, quota)
        requested = {
            each: Quantity(amount.amount - before.get(each, ZERO).amount, amount.binary)
            for each, amount in more.items()
        }
        over = [each for each in sorted(requested) if held[each] + requested[each] > hard[each]]
        if over:
            return (
                f"exceeded quota: {name}, requested: {_listed(requested, over)}, "
                f"used: {_listed(held, over)}, limited: {_listed(hard, over)}"
            )
    return ""


def used(store: Store, quota: Mapping[str, Any]) -> Amounts:
    """What the namespace holds of everything that the quota limits."""
    hard: Mapping[str, Any] = quota["spec"].get("hard") or {}
    sums = {name: Quantity(Fraction(0), parse(value).binary) for name, value in hard.items()}
    for resource in {_counted_resource(name) for name in hard}:
        for stored in store.objects(resource, quota["metadata"]["namespace"]):
            for name, amount in _counted(quota, resource, stored.object).items():
                if name in sums and _counted_resource(name) == resource:
                    sums[name] += amount
    return sums


def _counted_resource(name: str) -> str:
    """Which resource a name of a quota is counted from."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services."):
        return "services"
    return name if name in _BARE else "pods"


def _counted(quota: Mapping[str, Any], resource: str, obj: Mapping[str, Any]) -> Amounts:
    """What one object adds to a quota."""
    found = {f"count/{resource}": _ONE}
    if not all(_in_scope(resource, obj, *scope) for scope in _scopes(quota)):
        return {}
    if resource in _BARE and not (resource == "pods" and _ended(obj)):
        found[resource] = _ONE
    if resource == "pods" and not _ended(obj):
        found |= _compute(obj["spec"])
    if resource == "services":
        kind = obj["spec"].get("type")
        ports = len(obj["spec"].get("ports") or ())
        if kind == "LoadBalancer":
            found["services.loadbalancers"] = _ONE
        if kind in ("LoadBalancer", "NodePort"):
            found["services.nodeports"] = Quantity(Fraction(ports))
    return found


def _ended(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _compute(spec: Mapping[str, Any]) -> Amounts:
    found: Amounts = {}
    for kind in ("requests", "limits"):
        for name, amount in compute.of_pod(spec, kind).items():
            found[f"{kind}.{name}"] = amount
            if kind == "requests":
                found[name] = amount
    return found


def _unspecified(
    quota: Mapping[str, Any], hard: Mapping[str, Quantity], resource: str, pod: Mapping[str, Any]
) -> str:
    """Where cpu or memory is limited every container must name its share: ``cpu for: a,b; ...``, unless the
    pod names its own as a whole.
    """
    if resource != "pods" or not all(_in_scope(resource, pod, *scope) for scope in _scopes(quota)):
        return ""
    lacking: list[str] = []
    for name in sorted(hard):
        kind, _, what = name.rpartition(".") if name.startswith(("requests.", "limits.")) else ("", "", name)
        if what not in _COMPUTE:
            continue
        asks: Kind = "limits" if kind == "limits" else "requests"
        if what in compute.of_whole(pod["spec"], asks):
            continue
        without = [
            container["name"]
            for _, container in compute.containers(pod["spec"])
            if what not in compute.of_container(container, asks)
        ]
        if without:
            lacking.append(f"{name} for: {','.join(sorted(without))}")
    return "; ".join(lacking)


def _scopes(quota: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """(scope, operator, values)."""
    spec = quota["spec"]
    for name in spec.get("scopes") or ():
        yield name, "Exists", []
    for each in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield each["scopeName"], each["operator"], each.get("values") or []


def _in_scope(resource: str, pod: Mapping[str, Any], scope: str, operator: str, values: list[str]) -> bool:
    if resource != "pods" or scope not in _SCOPES:
        return False
    spec = pod["spec"]
    if scope in ("Terminating", "NotTerminating"):
        return ("activeDeadlineSeconds" in spec) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        asks = any(compute.of_pod(spec, kind) for kind in ("requests", "limits"))
        return asks == (scope == "NotBestEffort")
    has = spec.get("priorityClassName", "")
    return {
        "In": has in values,
        "NotIn": has not in values,
        "Exists": bool(has),
        "DoesNotExist": not has,
    }[operator]


def _listed(amounts: Mapping[str, Quantity], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
