"""Warnings about a write, for features that the sandbox stores but does not implement and for risky input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.sandbox.api.admission import compute, quotas
from meshkit.sandbox.api.requests import Object
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema.registry import CRDS, Resource

_NOT_ENFORCED = {
    "networkpolicies.networking.k8s.io": "a NetworkPolicy is stored but not enforced by the sandbox",
    "telemetries.telemetry.istio.io": "a Telemetry is stored but not enforced by the sandbox's proxies",
}
_NOT_OBEYED = {
    "config.linkerd.io/access-log": "the sandbox's proxies do not write an access log",
}
"""Annotations whose feature the sandbox does not implement."""
_POD_SPEC = {
    "cronjobs.batch": "spec.jobTemplate.spec.template.spec",
    "deployments.apps": "spec.template.spec",
    "jobs.batch": "spec.template.spec",
    "pods": "spec",
    "replicasets.apps": "spec.template.spec",
}
"""The path of the pod spec in each workload kind."""


def of(resource: Resource, obj: Object) -> Iterator[str]:
    """Yield the warnings for an object that is being written."""
    if resource.key in _NOT_ENFORCED:
        yield _NOT_ENFORCED[resource.key]
    for note in obj["metadata"].get("annotations") or ():
        if note in _NOT_OBEYED:
            yield f"annotation {note}: {_NOT_OBEYED[note]}"
    yield from _hidden_variables(resource.key, obj)
    if resource.key == quotas.QUOTAS:
        for scope in quotas.unknown_scopes(obj):
            yield f"the scope {scope} is not evaluated by the sandbox: it matches nothing"
    if resource.custom:
        yield from celrules.of_resource(resource).unusable
    if resource.key == CRDS:
        for version in obj["spec"]["versions"]:
            yield from celrules.of_schema(version["schema"]["openAPIV3Schema"]).unusable


def _hidden_variables(key: str, obj: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each environment variable whose redefinition hides an earlier value."""
    path = _POD_SPEC.get(key, "")
    spec: Any = obj
    for name in path.split(".") if path else ():
        spec = spec.get(name) or {}
    for where, container in compute.containers(spec) if path else ():
        names: set[str] = set()
        for index, variable in enumerate(container.get("env") or ()):
            name, value = variable["name"], variable.get("value", "")
            if name in names and (value == f"$({name})" or f"$({name})" not in value):
                yield (
                    f"{path}.{where}.env[{index}]: hides previous definition of "
                    f'"{name}", which may be dropped when using apply'
                )
            names.add(name)
