"""ResourceQuota admission, which counts a namespace's usage from its objects and rejects writes above it.

The check and the write happen without an await in between and count the objects themselves, so that
concurrent writes cannot exceed the quota and the count cannot drift. ``status.used`` is informational; the
quota controller maintains it. Names, scopes and messages match Kubernetes (pkg/quota/v1/evaluator/core,
plugin/resourcequota).
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
    """Return the scopes of a quota that the sandbox does not evaluate; such a quota limits nothing."""
    return sorted(name for name, _, _ in _scopes(quota) if name not in _SCOPES)


def refusal(
    store: Store, namespace: str, resource: str, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> str:
    """Return why a namespace's quotas reject the object that replaces ``old``, or an empty string."""
    for stored in store.objects(QUOTAS, namespace):
        quota = stored.object
        hard = {name: parse(value) for name, value in (quota["spec"].get("hard") or {}).items()}
        name = quota["metadata"]["name"]
        if old is None and (unspecified := _unspecified(quota, hard, resource, new)):
            return f"failed quota: {name}: must specify {unspecified}"
        before = _counted(quota, resource, old) if old is not None else {}
        counted = {
            resource_name: amount
            for resource_name, amount in _counted(quota, resource, new).items()
            if resource_name in hard
        }
        increased = {
            resource_name: amount
            for resource_name, amount in counted.items()
            if amount > before.get(resource_name, ZERO)
        }
        if not increased:
            continue
        held = used(store, quota)
        requested = {
            resource_name: Quantity(amount.amount - before.get(resource_name, ZERO).amount, amount.binary)
            for resource_name, amount in increased.items()
        }
        over = [
            resource_name
            for resource_name in sorted(requested)
            if held[resource_name] + requested[resource_name] > hard[resource_name]
        ]
        if over:
            return (
                f"exceeded quota: {name}, requested: {_listed(requested, over)}, "
                f"used: {_listed(held, over)}, limited: {_listed(hard, over)}"
            )
    return ""


def used(store: Store, quota: Mapping[str, Any]) -> Amounts:
    """Return the namespace's usage of everything that the quota limits."""
    hard: Mapping[str, Any] = quota["spec"].get("hard") or {}
    sums = {name: Quantity(Fraction(0), parse(value).binary) for name, value in hard.items()}
    for resource in {_counted_resource(name) for name in hard}:
        for stored in store.objects(resource, quota["metadata"]["namespace"]):
            for name, amount in _counted(quota, resource, stored.object).items():
                if name in sums and _counted_resource(name) == resource:
                    sums[name] += amount
    return sums


def _counted_resource(name: str) -> str:
    """Return the resource whose objects a quota name counts."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services."):
        return "services"
    return name if name in _BARE else "pods"


def _counted(quota: Mapping[str, Any], resource: str, obj: Mapping[str, Any]) -> Amounts:
    """Return what one object adds to a quota."""
    amounts = {f"count/{resource}": _ONE}
    if not all(_in_scope(resource, obj, *scope) for scope in _scopes(quota)):
        return {}
    if resource in _BARE and not (resource == "pods" and _ended(obj)):
        amounts[resource] = _ONE
    if resource == "pods" and not _ended(obj):
        amounts |= _compute(obj["spec"])
    if resource == "services":
        kind = obj["spec"].get("type")
        ports = len(obj["spec"].get("ports") or ())
        if kind == "LoadBalancer":
            amounts["services.loadbalancers"] = _ONE
        if kind in ("LoadBalancer", "NodePort"):
            amounts["services.nodeports"] = Quantity(Fraction(ports))
    return amounts


def _ended(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _compute(spec: Mapping[str, Any]) -> Amounts:
    amounts: Amounts = {}
    for kind in ("requests", "limits"):
        for name, amount in compute.of_pod(spec, kind).items():
            amounts[f"{kind}.{name}"] = amount
            if kind == "requests":
                amounts[name] = amount
    return amounts


def _unspecified(
    quota: Mapping[str, Any], hard: Mapping[str, Quantity], resource: str, pod: Mapping[str, Any]
) -> str:
    """Return which containers omit a limited compute resource, as ``cpu for: a,b; ...``.

    A resource that the pod specifies as a whole needs no value on each container.
    """
    if resource != "pods" or not all(_in_scope(resource, pod, *scope) for scope in _scopes(quota)):
        return ""
    omissions: list[str] = []
    for name in sorted(hard):
        kind, _, what = name.rpartition(".") if name.startswith(("requests.", "limits.")) else ("", "", name)
        if what not in _COMPUTE:
            continue
        field: Kind = "limits" if kind == "limits" else "requests"
        if what in compute.of_whole(pod["spec"], field):
            continue
        without = [
            container["name"]
            for _, container in compute.containers(pod["spec"])
            if what not in compute.of_container(container, field)
        ]
        if without:
            omissions.append(f"{name} for: {','.join(sorted(without))}")
    return "; ".join(omissions)


def _scopes(quota: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (scope, operator, values) of a quota."""
    spec = quota["spec"]
    for name in spec.get("scopes") or ():
        yield name, "Exists", []
    for requirement in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield requirement["scopeName"], requirement["operator"], requirement.get("values") or []


def _in_scope(resource: str, pod: Mapping[str, Any], scope: str, operator: str, values: list[str]) -> bool:
    if resource != "pods" or scope not in _SCOPES:
        return False
    spec = pod["spec"]
    if scope in ("Terminating", "NotTerminating"):
        return ("activeDeadlineSeconds" in spec) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        has_resources = any(compute.of_pod(spec, kind) for kind in ("requests", "limits"))
        return has_resources == (scope == "NotBestEffort")
    has = spec.get("priorityClassName", "")
    return {
        "In": has in values,
        "NotIn": has not in values,
        "Exists": bool(has),
        "DoesNotExist": not has,
    }[operator]


def _listed(amounts: Mapping[str, Quantity], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
