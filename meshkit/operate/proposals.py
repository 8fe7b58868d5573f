"""What the guided path proposes for routes, from the services and pods that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshkit.facts import Object
from meshkit.intent.traffic import OutlierDetection, Retries, Route, Version

if TYPE_CHECKING:
    from meshkit.operate.standing import Sight

TIMEOUT_S = 15.0
"""For a request and its retries: longer than most services take, shorter than people wait."""
ATTEMPTS = 2


def propose_route(sight: Sight) -> Route | None:
    """A route for the first service whose pods say their version, all requests to the first of them.

    With a timeout, two retries of what never reached a pod, and outlier detection: what a service without any
    limits lacks. None where a route is there already: its weights are somebody's decision.
    """
    kind = "VirtualService" if sight.mesh == "istio" else "HTTPRoute"
    if any(sight.snapshot.of(kind, sight.namespace)):
        return None
    for service in sight.snapshot.of("Service", sight.namespace):
        selector = service["spec"].get("selector") or {}
        versions = _versions(sight, selector) if selector else []
        if versions and service["spec"].get("ports"):
            return _route(sight.namespace, service, selector, versions)
    return None


def _route(namespace: str, service: Object, selector: dict[str, str], versions: list[str]) -> Route:
    name = service["metadata"]["name"]
    more: dict[str, Any] = {} if selector == {"app": name} else {"selector": selector}
    return Route(
        namespace=namespace,
        service=name,
        port=service["spec"]["ports"][0]["port"],
        versions=tuple(Version(name=version) for version in versions),
        split={version: 100.0 if version == versions[0] else 0.0 for version in versions},
        timeout_s=TIMEOUT_S,
        retries=Retries(attempts=ATTEMPTS),
        outlier_detection=OutlierDetection(),
        **more,
    )


def _versions(sight: Sight, selector: dict[str, str]) -> list[str]:
    """The values of the label ``version`` on the pods behind a selector."""
    labelled = (pod["metadata"].get("labels") or {} for pod in sight.snapshot.of("Pod", sight.namespace))
    return sorted(
        {str(ls["version"]) for ls in labelled if selector.items() <= ls.items() and "version" in ls}
    )
