"""Linkerd's circuit breaker, failure accrual: annotations of the Service that callers ask.

A Route writes them for its outlier detection, also to the Services of its versions, and a DestinationPolicy
to the Service alone. Both may not say different things: the second is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from meshkit.errors import BadInput
from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.balancing import OutlierDetection
from meshkit.intent.base import kind
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.kube import manifests
from meshkit.kube.kinds import POD, SERVICE
from meshkit.kube.metadata import annotations_of, labels
from meshkit.kube.steps import Step
from meshkit.meshes.base import cannot
from meshkit.meshes.gateway_api.durations import duration
from meshkit.meshes.gateway_api.versions import VERSION_OF
from meshkit.meshes.linkerd.meaning.reliability import ACCRUAL
from meshkit.meshes.linkerd.traffic.routable import POLICY_LIMITS, refuse_void
from meshkit.meshes.routing import policy_fields
from meshkit.meshes.routing.capabilities import refuse
from meshkit.meshes.routing.policy_fields import PolicyField

_MANAGER = "meshkit-outlier-detection"
_FIELD = PolicyField(0, "outlier_detection")


def needs(policy: DestinationPolicy) -> tuple[Need, ...]:
    """The objects that ``plan`` and the checks read."""
    return tuple(Need(each, policy.namespace) for each in (SERVICE, POD))


def plan(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[Step]:
    """The step that writes the circuit breaker of a DestinationPolicy, or removes that of an earlier one.

    Raises ``BadInput`` for what Linkerd does not have, and for a breaker that a Route sets otherwise.
    """
    if policy.service is None:
        instead = "Name a Service of the namespace: Linkerd sends requests to hosts outside as they are."
        raise cannot("Linkerd", DestinationPolicy, "host", instead)
    refuse(policy, "Linkerd", POLICY_LIMITS)
    require_readable(policy)
    refuse_void(policy, snapshot)
    wanted = breaker(policy.outlier_detection)
    if wanted:
        for name, standing in _of_versions(policy, snapshot):
            if standing and not _holds(wanted, standing):
                raise _set_by_route(policy, name)
    elif not is_of_policy(snapshot.find(SERVICE.kind, policy.service, policy.namespace)):
        return
    notes = {**wanted, **policy_fields.note([_FIELD] if wanted else [])}
    yield _step(policy.service, policy.namespace, notes)


def of_route(route: Route, snapshot: Snapshot) -> Iterator[Step]:
    """The step that writes the circuit breaker of a Route to the Service, or removes that of an earlier one.

    That of a DestinationPolicy stays. Raises ``BadInput`` if it is another one.
    """
    service = snapshot.find(SERVICE.kind, route.service, route.namespace)
    wanted, standing = breaker(route.outlier_detection), _accrual(service)
    if is_of_policy(service):
        if not _holds(wanted, standing):
            raise _set_by_policy(route)
    elif wanted or standing:
        yield _step(route.service, route.namespace, wanted)


def breaker(outlier: OutlierDetection | None) -> dict[str, str]:
    """The annotations that make a circuit breaker; nothing without outlier detection."""
    if outlier is None:
        return {}
    longest_s = outlier.max_ejection_s or max(60, 10 * outlier.base_ejection_s)
    return {
        ACCRUAL: "consecutive",
        f"{ACCRUAL}-consecutive-max-failures": str(outlier.consecutive_5xx),
        f"{ACCRUAL}-consecutive-min-penalty": duration(outlier.base_ejection_s),
        f"{ACCRUAL}-consecutive-max-penalty": duration(longest_s),
    }


def require_readable(intent: Route | DestinationPolicy) -> None:
    """Reject what Linkerd could not read: fractions of milliseconds, and a breaker that counts nothing."""
    outlier = intent.outlier_detection
    if outlier is None:
        return
    if not outlier.consecutive_5xx:
        instead = "Set it to 1 or more: Linkerd counts every 5xx, and nothing else."
        raise cannot("Linkerd", type(intent), "outlier_detection.consecutive_5xx", instead)
    times_s = {"base_ejection_s": outlier.base_ejection_s, "max_ejection_s": outlier.max_ejection_s}
    for name, seconds in times_s.items():
        require_whole_milliseconds(f"outlier_detection.{name}", seconds)


def require_whole_milliseconds(field: str, seconds: float | None) -> None:
    """Reject a time of an annotation that is not whole milliseconds."""
    if seconds is not None and Decimal(str(seconds)) % Decimal("0.001"):
        problem = f"{seconds} s is not a whole number of milliseconds, and Linkerd reads no fractions."
        raise BadInput(field, problem, remedy="Use whole milliseconds, as 0.025.")


def is_of_policy(service: Object | None) -> bool:
    """Whether a DestinationPolicy wrote the circuit breaker of a Service."""
    return service is not None and _FIELD in policy_fields.written(service)


def _of_versions(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[tuple[str, dict[str, str]]]:
    """The circuit breakers of the versions' Services, which Routes wrote."""
    for service in snapshot.of(SERVICE.kind, policy.namespace):
        if labels(service).get(VERSION_OF) == policy.service:
            yield service["metadata"]["name"], _accrual(service)


def _accrual(service: Object | None) -> dict[str, str]:
    notes: Mapping[str, str] = annotations_of(service) if service else {}
    return {name: value for name, value in notes.items() if name.startswith(ACCRUAL)}


def _holds(wanted: Mapping[str, str], standing: Mapping[str, str]) -> bool:
    return all(standing.get(name) == value for name, value in wanted.items())


def _step(service: str, namespace: str, notes: Mapping[str, str]) -> Step:
    return Step(manifests.obj(SERVICE, service, namespace, annotations=notes), manager=_MANAGER, partial=True)


def _set_by_policy(route: Route) -> BadInput:
    problem = (
        f"a DestinationPolicy of {route.namespace}/{route.service} sets outlier_detection otherwise, and"
        " Linkerd has one circuit breaker for a Service."
    )
    remedy = (
        "Leave outlier_detection out of the Route, or plan the DestinationPolicy without outlier_detection"
        " first."
    )
    return BadInput(f"{kind(Route)}.outlier_detection", problem, remedy=remedy)


def _set_by_route(policy: DestinationPolicy, version: str) -> BadInput:
    problem = (
        f"a Route of {policy.namespace}/{policy.host} sets outlier_detection otherwise (it stands in Service"
        f" {version}), and Linkerd has one circuit breaker for a Service."
    )
    remedy = (
        "Leave outlier_detection out of that Route and plan both together, or out of the DestinationPolicy."
    )
    return BadInput(f"{kind(DestinationPolicy)}.outlier_detection", problem, remedy=remedy)
