"""Proposals of the guided setup, from the cluster's objects and the calls seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from meshkit.errors import BadInput
from meshkit.facts import Object
from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.base import Intent, Part, is_name
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.rules import Fault, Retries
from meshkit.intent.security import Access, Caller
from meshkit.intent.traffic import Route, Version
from meshkit.kube.metadata import annotations_of, identity, labels
from meshkit.kube.nodes import has_built_in_images
from meshkit.kube.selectors import selects
from meshkit.meshes.access import UNTIL
from meshkit.operations.setup.status import access_rules

if TYPE_CHECKING:
    from meshkit.operations.setup.status import ClusterObservation

TIMEOUT_S = 15.0
"""Timeout of a request and its retries: above most services' latencies, below a user's patience."""
ATTEMPTS = 2
FAILED_IN_A_ROW = 5
"""Number of 5xx responses before a pod is ejected: the default of OutlierDetection."""


def propose_control_plane(observed: ClusterObservation) -> ControlPlane:
    """Propose the mesh's published charts, or meshkit's own manifests for nodes that can run their images."""
    nodes = observed.snapshot.of("Node")
    return ControlPlane() if any(map(has_built_in_images, nodes)) else ControlPlane(charts="published")


_SAMPLES: dict[str, Part] = {
    "load_balancing": LoadBalancing(algorithm="random"),
    "connection_limits": ConnectionLimits(max_connections=1),
    "outlier_detection": OutlierDetection(),
    "retries": Retries(attempts=1),
    "fault": Fault(delay_s=1),
}
"""A minimal instance of each optional part of a route, to test whether a mesh's planner supports it."""


def samples(intent: Intent) -> Iterator[tuple[str, Intent]]:
    """Yield the intent with each optional part and each choice of a field, as candidates for a form."""
    fields = type(intent).model_fields
    bare = {name: None for name in _SAMPLES if name in fields}
    for name, field in fields.items():
        if get_origin(field.annotation) is Literal:
            for choice in get_args(field.annotation):
                yield f"{name}: {choice}", intent.model_copy(update={**bare, name: choice})
        elif name in _SAMPLES:
            yield name, intent.model_copy(update={**bare, name: _SAMPLES[name]})


def propose_access(observed: ClusterObservation) -> Access | None:
    """Propose an access rule on trial for the first service, from the accounts that called it over mutual
    TLS; or to enforce the first rule that is on trial.

    Returns None before calls were measured, and if rules are enforced, because a person has decided on those.
    """
    on_trial = next(written_on_trial(observed), None)
    if on_trial is not None:
        return on_trial.model_copy(update={"mode": "enforce"})
    if observed.calls is None or access_rules(observed):
        return None
    for service in observed.snapshot.of("Service", observed.namespace):
        selector = service["spec"].get("selector") or {}
        servers = {
            f"{observed.namespace}/{deployment['metadata']['name']}"
            for deployment in observed.snapshot.of("Deployment", observed.namespace)
            if selector and selects(selector, deployment["spec"]["template"])
        }
        links = (link for link, _, _ in observed.calls.links("mutual_tls") if link.server in servers)
        callers = sorted({link.client for link in links if "/" in link.client})
        if callers:
            places = (caller.split("/") for caller in callers)
            return Access(
                namespace=observed.namespace,
                service=service["metadata"]["name"],
                callers=tuple(Caller(namespace=space, service_account=name) for space, name in places),
                mode="shadow" if observed.row.shadow else "enforce",
            )
    return None


def written_on_trial(observed: ClusterObservation) -> Iterator[Access]:
    """Read back the rules on trial in the namespace, as far as one ``Access`` writes just these objects."""
    shadow = observed.row.shadow
    held = {identity(each): each for each in observed.snapshot.objects}
    for holder in observed.of(shadow.holders) if shadow else ():
        for asked in _may_have_written(observed, holder):
            try:
                steps = observed.row.planner.plan(asked, observed.snapshot)
            except BadInput:
                continue
            there = [held.get(identity(step.object)) for step in steps]
            if all(map(_is_written, (step.object for step in steps), there)):
                yield asked
                break


def _may_have_written(observed: ClusterObservation, holder: Object) -> Iterator[Access]:
    shadow, name = observed.row.shadow, str(holder["metadata"]["name"])
    callers = shadow.callers(holder) if shadow else ()
    for service in observed.snapshot.of("Service", observed.namespace) if callers else ():
        own = f"{service['metadata']['name']}-"
        if name.startswith(own) and is_name(name.removeprefix(own)):
            for port in (None, *(int(each["port"]) for each in service["spec"].get("ports") or ())):
                yield Access(
                    namespace=observed.namespace,
                    service=service["metadata"]["name"],
                    callers=callers,
                    port=port,
                    name=name.removeprefix(own),
                    mode="shadow",
                    until=annotations_of(holder).get(UNTIL),
                )


def _is_written(wanted: Object, there: Object | None) -> bool:
    """Whether an object has the spec and the annotations that a plan writes."""
    if there is None or there.get("spec") != wanted.get("spec"):
        return False
    return annotations_of(wanted).items() <= annotations_of(there).items()


def propose_route(observed: ClusterObservation) -> Route | None:
    """Propose a route for the service with the most versions, with all requests to the first version.

    It adds a timeout, two retries of requests that never reached a pod, and outlier detection, which a
    service without a route lacks. Returns None if a route exists, because a person has decided on its
    weights.
    """
    if any(map(observed.of, observed.row.kinds.routes)):
        return None
    candidates = []
    for service in observed.snapshot.of("Service", observed.namespace):
        selector = service["spec"].get("selector") or {}
        versions = _versions(observed, selector) if selector else []
        if versions and service["spec"].get("ports"):
            candidates.append((service, selector, versions))
    if not candidates:
        return None
    service, selector, versions = max(candidates, key=lambda each: len(each[2]))
    return _route(observed.namespace, service, selector, versions)


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
        outlier_detection=OutlierDetection(consecutive_5xx=FAILED_IN_A_ROW),
        **more,
    )


def _versions(observed: ClusterObservation, selector: dict[str, str]) -> list[str]:
    """The values of the label ``version`` on the pods of a selector."""
    pods = (pod for pod in observed.snapshot.of("Pod", observed.namespace) if selects(selector, pod))
    return sorted({str(labels(pod)["version"]) for pod in pods if "version" in labels(pod)})
