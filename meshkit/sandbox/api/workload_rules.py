"""Validation rules of workloads: selectors, replicas, update strategies and pod templates.

Field paths and messages match k8s.io/kubernetes pkg/apis/apps/validation and pkg/apis/batch/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.kube.selectors import holds
from meshkit.sandbox.api import names, podrules, status
from meshkit.sandbox.api.status import Cause

Object = Mapping[str, Any]

_LONGEST_CRON_JOB = 52  # the name of a Job is eleven characters longer
_NOT_NEGATIVE = "must be greater than or equal to 0"
_PERCENT = re.compile(r"[0-9]{1,18}%")  # controllers count in 64 bits
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
    "used for validation is '[0-9]+%')"
)


def replica_set(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a ReplicaSet."""
    yield from _selected(obj, "deployment")


def deployment(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a Deployment."""
    yield from _selected(obj, "deployment")
    kind = (obj["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        yield status.unsupported_value("spec.strategy.type", kind, '"Recreate", "RollingUpdate"')
    rolling, where = (obj["spec"].get("strategy") or {}).get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if kind == "Recreate" and rolling is not None:
        why = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield Cause(where, "FieldValueForbidden", why)
    elif kind == "RollingUpdate" and rolling is not None:
        most = rolling["maxUnavailable"]
        yield from amount_causes(f"{where}.maxUnavailable", most)
        yield from amount_causes(f"{where}.maxSurge", rolling["maxSurge"], may_exceed=True)
        if _number(most) == 0 == _number(rolling["maxSurge"]):
            yield status.invalid_value(f"{where}.maxUnavailable", most, "may not be 0 when `maxSurge` is 0")
    yield from _restarts(obj)


def stateful_set(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a StatefulSet."""
    spec = obj["spec"]
    policy = spec["podManagementPolicy"]
    if policy not in ("OrderedReady", "Parallel"):
        why = "must be 'OrderedReady' or 'Parallel'"
        yield status.invalid_value("spec.podManagementPolicy", policy, why)
    yield from _stateful_strategy(spec["updateStrategy"])
    for field in ("whenDeleted", "whenScaled"):
        given = spec["persistentVolumeClaimRetentionPolicy"][field]
        if given not in ("Retain", "Delete"):
            where = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            yield status.unsupported_value(where, given, '"Delete", "Retain"')
    start = (spec.get("ordinals") or {}).get("start", 0)
    yield from _not_negative("spec.minReadySeconds", spec.get("minReadySeconds", 0))
    yield from _not_negative("spec.ordinals.start", start)
    if spec.get("serviceName"):
        yield from names.causes("spec.serviceName", spec["serviceName"], names.label)
    claims = [(each.get("metadata") or {}).get("name", "") for each in spec.get("volumeClaimTemplates") or ()]
    for index, name in enumerate(claims):
        if not name:
            yield status.required(f"spec.volumeClaimTemplates[{index}].metadata.name")
    yield from _selected(obj, "statefulset", claims)
    yield from _restarts(obj)


def _stateful_strategy(strategy: Object) -> Iterator[Cause]:
    where, rolling = "spec.updateStrategy", strategy.get("rollingUpdate")
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        yield status.invalid_value(where, strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None and strategy["type"] == "OnDelete":
        why = "only allowed for updateStrategy 'RollingUpdate'"
        yield status.invalid_value(f"{where}.rollingUpdate", rolling, why)
    elif rolling is not None:
        yield from _not_negative(f"{where}.rollingUpdate.partition", rolling["partition"])
        most = rolling["maxUnavailable"]
        yield from amount_causes(f"{where}.rollingUpdate.maxUnavailable", most)
        if _number(most) == 0:
            yield status.invalid_value(f"{where}.rollingUpdate.maxUnavailable", most, "cannot be 0")


def daemon_set(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a DaemonSet."""
    yield from _selected(obj, "daemonset")
    yield from _restarts(obj)
    spec = obj["spec"]
    yield from _not_negative("spec.minReadySeconds", spec.get("minReadySeconds", 0))
    strategy, where = spec["updateStrategy"], "spec.updateStrategy"
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        yield status.unsupported_value(f"{where}.type", strategy["type"], '"OnDelete", "RollingUpdate"')
    elif strategy["type"] == "RollingUpdate":
        rolling, where = strategy["rollingUpdate"], f"{where}.rollingUpdate"
        for field in ("maxUnavailable", "maxSurge"):
            yield from amount_causes(f"{where}.{field}", rolling[field])
        unavailable, surge = _number(rolling["maxUnavailable"]), _number(rolling["maxSurge"])
        if unavailable and surge:
            why = "may not be set when maxUnavailable is non-zero"
            yield status.invalid_value(f"{where}.maxSurge", rolling["maxSurge"], why)
        elif not unavailable and not surge:
            why = "Required value: cannot be 0 when maxSurge is 0"
            yield status.required(f"{where}.maxUnavailable", why)


def job(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a Job."""
    spec = obj["spec"]
    pod = spec.get("template", {}).get("spec") or {}
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield status.unsupported_value(
            "spec.template.spec.restartPolicy", pod.get("restartPolicy"), '"OnFailure", "Never"'
        )
    if spec.get("completionMode") == "Indexed":
        only = '"NonIndexed" (the only mode of the sandbox)'
        yield status.unsupported_value("spec.completionMode", "Indexed", only)
    for field in ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy"):
        if field in spec:
            yield Cause(f"spec.{field}", "FieldValueForbidden", "Forbidden: not supported by the sandbox")
    for field in ("parallelism", "completions", "backoffLimit"):
        yield from _not_negative(f"spec.{field}", spec.get(field, 0))
    yield from podrules.template_causes(spec.get("template", {}), "spec.template")


def cron_job(obj: Object) -> Iterator[Cause]:
    """Yield the errors of a CronJob."""
    name = obj["metadata"]["name"]
    if len(name) > _LONGEST_CRON_JOB:
        why = f"must be no more than {_LONGEST_CRON_JOB} characters"
        yield status.invalid_value("metadata.name", name, why)
    template = (obj["spec"]["jobTemplate"].get("spec") or {}).get("template") or {}
    yield from podrules.template_causes(template, "spec.jobTemplate.spec.template")


def _selected(obj: Object, kind: str, claims: list[str] | None = None) -> Iterator[Cause]:
    """Yield the errors of selector, replicas and pod template; ``claims`` are volumes that pods get too."""
    spec = obj["spec"]
    selector, template = spec["selector"], spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield status.invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")
    elif not holds(selector, labels):
        yield status.invalid_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from _not_negative("spec.replicas", spec.get("replicas", 0))
    yield from names.label_causes(labels, "spec.template.metadata.labels")
    if claims:
        volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
        own = [each for each in template["spec"].get("volumes") or () if each["name"] not in claims]
        template = {**template, "spec": {**template["spec"], "volumes": volumes + own}}
    yield from podrules.template_causes(template, "spec.template")


def _restarts(obj: Object) -> Iterator[Cause]:
    policy = (obj["spec"].get("template", {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        yield status.unsupported_value("spec.template.spec.restartPolicy", policy, '"Always"')


def _not_negative(field: str, value: int) -> Iterator[Cause]:
    if value < 0:
        yield status.invalid_value(field, value, _NOT_NEGATIVE)


def amount_causes(field: str, value: int | str, *, may_exceed: bool = False) -> Iterator[Cause]:
    """Yield the error of a number or percentage of pods; ``may_exceed`` allows more than 100%."""
    if isinstance(value, int):
        yield from _not_negative(field, value)
    elif not _PERCENT.fullmatch(value):
        yield status.invalid_value(field, value, _PERCENT_RULE)
    elif _number(value) > 100 and not may_exceed:
        yield status.invalid_value(field, value, "must not be greater than 100%")


def _number(value: int | str) -> int:
    if isinstance(value, int):
        return value
    return int(value.removesuffix("%")) if _PERCENT.fullmatch(value) else 0
