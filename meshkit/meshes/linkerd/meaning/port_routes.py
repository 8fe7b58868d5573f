"""The routes of one Service port as Linkerd's proxies follow them.

Rules of all routes are ranked as Gateway API says, and one kind is served: gRPC's before HTTP's. A rule
without backends goes to the Service itself. On a port that is opaque, or whose Service a ServiceProfile
rules, no route holds. No retries and no timeouts unless asked for.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshkit.meshes.gateway_api.meaning import precedence
from meshkit.meshes.gateway_api.meaning.routes import attached, route_of
from meshkit.meshes.linkerd.meaning import hostnames, reliability, services
from meshkit.meshes.linkerd.meaning.precedence import rank
from meshkit.meshes.linkerd.meaning.route_status import has_cluster_address
from meshkit.meshes.linkerd.meaning.taken import TakenRoute
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.model.outbound import (
    Backend,
    HeaderEdits,
    Match,
    Object,
    Problem,
    Retry,
    Route,
    cluster_name,
)
from meshkit.meshes.model.translation import Translation

OPAQUE_PORT = "OpaquePort"
PROFILE_RULES = "ServiceProfileRules"
KIND_NOT_SERVED = "KindNotServed"
PARENT_WITHOUT_ADDRESS = "ParentWithoutAddress"
ANNOTATION_UNREADABLE = "AnnotationUnreadable"
EVERYONE = ""
"""The caller's namespace for callers of every namespace that has no routes or profiles of its own."""


def routes_of(
    work: Translation,
    service: Object,
    port: Mapping[str, Any],
    candidates: Sequence[TakenRoute],
    clusters: Container[str],
) -> list[Route]:
    """The routes of a port for the callers of ``work.namespace``. ``candidates`` are on the Service.

    Without any route it is the Service itself.
    """
    number = int(port["port"])
    here = [
        taken
        for taken in candidates
        if taken.namespace in (service["metadata"]["namespace"], work.namespace)
        and attached(taken.item, service, number)
    ]
    if not has_cluster_address(service):
        for taken in here:
            message = f"Service {_title(service)} has no cluster address: Linkerd takes no route for it."
            work.problems.append(Problem(taken.item, PARENT_WITHOUT_ADDRESS, message))
        here = []
    if why := services.opaque_reason(service, port):
        return _opaque(work, service, number, here, why)
    if profile := services.profile_of(work.registry, service, work.namespace):
        return _by_profile(work, profile, service, number, here, clusters)
    kinds = services.kinds_of(service, port)
    served = next((kind for kind in kinds if any(taken.kind == kind for taken in here)), "")
    for taken in here:
        if taken.kind != served:
            why = f"beside {served}s" if taken.kind in kinds else "with appProtocol http"
            message = f"Linkerd serves no {taken.kind} on {_title(service)}:{number} {why}."
            work.problems.append(Problem(taken.item, KIND_NOT_SERVED, message))
    if served:
        return _ranked(work, service, number, [taken for taken in here if taken.kind == served], clusters)
    timeout_s, retry = _of_service(work, service)
    return [
        Route("default", (Match(),), (_itself(service, number),), timeout_s=timeout_s, retry=retry),
    ]


def _title(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _itself(service: Object, number: int) -> Backend:
    return Backend(cluster_name(number, "", host_of(service)), 1)


def _opaque(
    work: Translation, service: Object, number: int, here: Sequence[TakenRoute], why: str
) -> list[Route]:
    where = f"port {number} of Service {_title(service)}"
    for taken in here:
        message = f"Linkerd takes {where} for plain TCP because of {why}: the route has no effect there."
        work.problems.append(Problem(taken.item, OPAQUE_PORT, message))
    return [Route("default", (Match(),), (_itself(service, number),))]


def _by_profile(
    work: Translation,
    profile: Object,
    service: Object,
    number: int,
    here: Sequence[TakenRoute],
    clusters: Container[str],
) -> list[Route]:
    meta, home = profile["metadata"], service["metadata"]["namespace"]
    for taken in here:
        # A profile in the callers' namespace concerns those callers only: of others' routes it says nothing.
        if meta["namespace"] == home or taken.namespace == work.namespace:
            message = (
                f"ServiceProfile {meta['namespace']}/{meta['name']} rules Service {_title(service)}, and"
                " Linkerd's proxies then follow no route: this one has no effect there."
            )
            work.problems.append(Problem(taken.item, PROFILE_RULES, message))
    for index, entry in enumerate(profile["spec"].get("routes") or ()):
        if entry.get("isRetryable") or entry.get("timeout"):
            message = f"spec.routes[{index}]: the sandbox has no retries and timeouts of ServiceProfiles."
            work.ignore(profile, message)
    return [services.profile_route(profile, service, number, clusters)]


def _ranked(
    work: Translation, service: Object, number: int, items: Sequence[TakenRoute], clusters: Container[str]
) -> list[Route]:
    by_item = {id(taken.item): taken for taken in items}
    ranked = _by_host(precedence.ranked(((taken.item, taken.kind) for taken in items), rank))
    for problem in precedence.shadowed(ranked, f"{_title(service)}:{number}"):
        # A consumer route may take the requests of its namespace from a producer route, which others follow.
        if work.namespace in (EVERYONE, problem.object["metadata"]["namespace"]):
            work.problems.append(problem)
    found = []
    for one in ranked:
        taken = by_item[id(one.item)]
        rule = taken.rules[one.index]
        route = _with_literal_values(route_of(work, one.item, one.index, rule, one.match, clusters))
        found.append(route if route.redirect else _reliable(work, service, number, taken, rule, route))
    return found


def _with_literal_values(route: Route) -> Route:
    """The route whose header values are sent as they stand: Linkerd's proxy has no variables in them."""
    return replace(
        route,
        request_headers=_literal(route.request_headers),
        response_headers=_literal(route.response_headers),
        backends=tuple(
            replace(
                each,
                request_headers=_literal(each.request_headers),
                response_headers=_literal(each.response_headers),
            )
            for each in route.backends
        ),
    )


def _literal(edits: HeaderEdits) -> HeaderEdits:
    return replace(edits, literal=True) if edits.set or edits.add else edits


def _by_host(ranked: Sequence[precedence.Ranked]) -> list[precedence.Ranked]:
    """The matches with the hostnames of their routes, those with the more specific host first."""
    found = [
        (rank, replace(one, match=match))
        for one in ranked
        for rank, match in hostnames.narrowed(one.item, one.match)
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _reliable(
    work: Translation, service: Object, number: int, taken: TakenRoute, rule: Mapping[str, Any], route: Route
) -> Route:
    """A route with its backends, timeout and retries; what it asks for replaces what its Service does."""
    own = taken.item["metadata"].get("annotations") or {}
    asked = dict(_told(work, taken.item, own))
    try:
        by_rule = reliability.request_timeout_s(rule, taken.group)
    except ValueError:
        by_rule = None
    general_s, general = _of_service(work, service, taken.kind)
    timeout_s = asked.get("request") or by_rule
    if not asked and not by_rule:
        timeout_s = general_s
    backends = route.backends if rule.get("backendRefs") else (_itself(service, number),)
    retry = reliability.retry(own, taken.kind) or general
    return replace(route, backends=backends, timeout_s=timeout_s, retry=retry)


def _of_service(
    work: Translation, service: Object, kind: str | None = None
) -> tuple[float | None, Retry | None]:
    """The timeout and retries that the Service's annotations ask for."""
    notes = service["metadata"].get("annotations") or {}
    timeout_s, retry = None, None
    try:
        timeout_s = _told(work, service, notes).get("request") or None
    except ValueError as problem:
        message = f"annotation {problem}; the Service has no timeouts."
        work.problems.append(Problem(service, ANNOTATION_UNREADABLE, message))
    try:
        retry = reliability.retry(notes, kind)
    except ValueError as problem:
        message = f"annotation {problem}; the Service has no retries."
        work.problems.append(Problem(service, ANNOTATION_UNREADABLE, message))
    return timeout_s, retry or reliability.TO_ANOTHER_ENDPOINT


def _told(work: Translation, item: Object, notes: Mapping[str, str]) -> dict[str, float]:
    """The timeouts of annotations, with a problem for those that the sandbox does not carry out."""
    found = reliability.timeouts(notes)
    for name in ("response", "idle"):
        if name in found:
            work.ignore(item, f"annotation timeout.linkerd.io/{name} is not carried out.")
    return found
