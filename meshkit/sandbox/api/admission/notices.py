"""Warnings about a write, for features that the sandbox stores but does not implement and for risky input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.sandbox.api.admission import compute, quotas
from meshkit.sandbox.api.requests import Object
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema.registry import CRDS, Resource

_NOT_ENFORCED = {
    "apiservices.apiregistration.k8s.io": (
        "an APIService is stored but not carried out by the sandbox: requests of its group are not forwarded"
    ),
    "envoyfilters.networking.istio.io": (
        "an EnvoyFilter is stored but not carried out by the sandbox: it changes no proxy"
    ),
    "horizontalpodautoscalers.autoscaling": (
        "a HorizontalPodAutoscaler is stored but not carried out by the sandbox: it changes no replicas"
    ),
    "ingressclasses.networking.k8s.io": "an IngressClass is stored but not carried out by the sandbox",
    "ingresses.networking.k8s.io": (
        "an Ingress is stored but not carried out by the sandbox: no request reaches a Service through it"
    ),
    "networkpolicies.networking.k8s.io": "a NetworkPolicy is stored but not enforced by the sandbox",
    "persistentvolumeclaims": (
        "a PersistentVolumeClaim is stored but not carried out by the sandbox: it stays Pending, and pods "
        "that name it run without it"
    ),
    "persistentvolumes": (
        "a PersistentVolume is stored but not carried out by the sandbox: no claim is bound to it"
    ),
    "proxyconfigs.networking.istio.io": (
        "a ProxyConfig is stored but not carried out by the sandbox: it changes no proxy"
    ),
    "storageclasses.storage.k8s.io": (
        "a StorageClass is stored but not carried out by the sandbox: no volume is provisioned"
    ),
    "telemetries.telemetry.istio.io": "a Telemetry is stored but not enforced by the sandbox's proxies",
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        "a ValidatingAdmissionPolicy is stored but not enforced by the sandbox: it refuses nothing"
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        "a ValidatingAdmissionPolicyBinding is stored but not enforced by the sandbox: it refuses nothing"
    ),
}
"""What a write of each resource is answered with, because the sandbox only stores its objects."""
_NOT_OBEYED = {
    "config.linkerd.io/access-log": "the sandbox's proxies do not write an access log",
}
"""Annotations whose feature the sandbox does not implement."""
_POD_SPEC = {
    "cronjobs.batch": "spec.jobTemplate.spec.template.spec",
    "daemonsets.apps": "spec.template.spec",
    "deployments.apps": "spec.template.spec",
    "jobs.batch": "spec.template.spec",
    "pods": "spec",
    "replicasets.apps": "spec.template.spec",
    "statefulsets.apps": "spec.template.spec",
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
    if resource.key == "statefulsets.apps" and (obj["spec"].get("volumeClaimTemplates")):
        yield "spec.volumeClaimTemplates: not carried out by the sandbox: no PersistentVolumeClaim is created"
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
