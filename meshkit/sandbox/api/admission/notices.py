"""What the sandbox stores but does not do, told to whoever writes it: the Warning headers of a write."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.sandbox.api.admission import quotas
from meshkit.sandbox.api.requests import Object
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema.registry import CRDS, Resource

_NOT_ENFORCED = {
    "networkpolicies.networking.k8s.io": "a NetworkPolicy is stored but not enforced by the sandbox",
    "telemetries.telemetry.istio.io": "a Telemetry is stored but not obeyed by the sandbox's proxies",
}
_NOT_OBEYED = {
    "config.linkerd.io/access-log": "the sandbox's proxies write no access log for people",
}
"""Annotations that ask for something which is not done here."""


def of(resource: Resource, obj: Object) -> Iterator[str]:
    """The sentences about an object that is being written."""
    if resource.key in _NOT_ENFORCED:
        yield _NOT_ENFORCED[resource.key]
    for note in obj["metadata"].get("annotations") or ():
        if note in _NOT_OBEYED:
            yield f"annotation {note}: {_NOT_OBEYED[note]}"
    if resource.key == quotas.QUOTAS:
        for scope in quotas.unknown_scopes(obj):
            yield f"the scope {scope} is not evaluated by the sandbox: it matches nothing"
    if resource.custom:
        yield from celrules.of_resource(resource).unusable
    if resource.key == CRDS:
        for version in obj["spec"]["versions"]:
            yield from celrules.of_schema(version["schema"]["openAPIV3Schema"]).unusable
