"""``mk.plan_release`` finds the route of a release and shows what it would shift; ``mk.apply`` runs it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from meshkit.decide.formatting import rate, seconds
from meshkit.errors import BadInput, Forbidden, MeshkitError
from meshkit.facts import ClusterRef, Finding, Kind, Object
from meshkit.operations.plan import pending
from meshkit.operations.progress import OnEvent, ReleaseLooked, noop
from meshkit.operations.release import rights
from meshkit.operations.release.additions import Additions, additions_of
from meshkit.operations.release.plan_words import added, gate_words, rule_of, steps
from meshkit.operations.release.runner import (
    Outcome,
    Result,
    hold_lock,
    require_alone,
    running_state,
)

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.decide.plan import ReleaseForecast
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.observe.counters import Observer
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.edge.places import Place
    from meshkit.operations.release.state.model import ReleaseState


@dataclass(frozen=True)
class ReleasePlan:
    """A plan of ``mk.plan_release``: the route whose weights are shifted, the steps, and the forecast.

    Its change has the id ``change_id``. A plan that is applied again resumes its own release if the process
    has died, and is refused if that release has ended.
    """

    release: Release
    mesh: str
    cluster: ClusterRef
    change_id: str
    route: WeightedRoute
    """The rule whose weights are shifted."""
    owners: tuple[str, ...]
    """The field managers of the route's rules."""
    weights: tuple[int, int]
    """The weights of the stable version and the canary before the first step."""
    additions: Additions
    """What the release adds to the route beside its weights, while it runs (additions.py)."""
    observer: Observer = field(repr=False, compare=False)
    clock: Clock = field(repr=False, compare=False)
    edges: tuple[Place, ...] = ()
    """The rules at gateways whose weights are shifted after those of ``route``, step by step."""
    train: str = ""
    """The train that the release is a member of."""
    unmoved: tuple[str, ...] = ()
    """A sentence for each route that other callers follow."""
    findings: tuple[Finding, ...] = ()
    missing_rights: str = ""
    """The permissions that the account lacks to run the release."""
    missing_events: str = ""
    """Why Events about the release are missing or incomplete."""
    resumed: ReleaseState | None = None
    """The state of the release if its run has not ended; the plan then resumes it."""
    measure: Callable[[], ReleaseForecast] | None = field(default=None, repr=False, compare=False)
    """Measures the traffic for the forecast."""

    confirmation = ""
    empty = False

    @cached_property
    def forecast(self) -> ReleaseForecast | str:
        """How long the release takes at the present traffic, or why this is not known.

        The traffic is measured for up to 15 seconds when this is used for the first time.
        """
        if self.measure is None:
            return "the release has started."
        try:
            return self.measure()
        except MeshkitError as error:
            return error.message

    @property
    def heading(self) -> str:
        """Summarise what the plan does, and where."""
        release = self.release
        where = f"{self.mesh} on cluster {self.cluster}"
        what = f"Release {release.name} of {release.namespace}/{release.service}:{release.port}"
        shift = f"from {release.stable} to {release.canary}"
        if self.resumed is None:
            return f"{what} {shift}, {where}: {len(release.ladder)} steps."
        at = f"{self.resumed.status} at {self.resumed.asked_percent:g} %"
        return f"{what} {shift}, {where}: resumes change {self.change_id}, {at}."

    @property
    def overview(self) -> tuple[tuple[str, str], ...]:
        """The route, its weights and the steps, as names and texts."""
        release = self.release
        stable, canary = self.weights
        before = " before the first step" if self.resumed else ""
        return (
            ("route", f"{self.route}{rule_of(self.route)}, owned by {', '.join(self.owners) or 'nobody'}"),
            *(("at the edge", f"{each.route}{rule_of(each.route)}, shifted after it") for each in self.edges),
            ("weights", f"{release.stable} {stable}, {release.canary} {canary}{before}"),
            *(("adds", text) for text in added(release)),
            ("steps", ", ".join(steps(release))),
            *(("gate", gate_words(gate)) for gate in release.gates),
        )

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The overview and, for a release that does not run yet, the forecast."""
        return self.overview if self.resumed else (*self.overview, ("forecast", self.forecast_text))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about callers that are not shifted, and about rights that are missing."""
        missing = f"This account cannot run it: it may not {self.missing_rights}."
        notes = [*self.unmoved, *([missing] if self.missing_rights else [])]
        return (*notes, *([self.missing_events] if self.missing_events else []))

    @property
    def forecast_text(self) -> str:
        """The forecast in one line."""
        found = self.forecast
        if isinstance(found, str):
            return f"not known: {found}"
        ends = math.isfinite(found.promote_s)
        how_long = f"promoted after {seconds(found.promote_s)}" if ends else "never promoted as written"
        return f"{how_long}, at {rate(found.rps)} requests per second"

    @property
    def margins(self) -> tuple[tuple[str, str, str], ...]:
        """Each margin to be shown, its limit, and after how long the forecast expects that."""
        statements = () if isinstance(self.forecast, str) else self.forecast.statements
        return tuple((one.name, f"{one.limit:g} {one.unit}", seconds(one.seconds)) for one in statements)

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """The findings about the route, and those of the forecast."""
        return self.findings if isinstance(self.forecast, str) else (*self.findings, *self.forecast.findings)

    def text(self, *, forecast: bool = True) -> str:
        """The plan as text, with the forecast, which is measured, or without it."""
        rows = self.rows if forecast else self.overview
        findings = self.all_findings if forecast else self.findings
        lines = [self.heading, *(f"{name:9} {text}" for name, text in rows)]
        for name, limit, after in self.margins if forecast else ():
            lines.append(f"{'':9} {name} within {limit}: shown after {after}")
        lines += self.notes
        lines += (f"{f.severity} {f.code} {f.object}: {f.message} {f.remedy}" for f in findings)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        done = self.resumed.step + 1 if self.resumed else 0
        return pending(max(1, len(self.release.ladder) - done))

    def to_json(self) -> str:
        """The plan as a JSON text."""
        return json.dumps(self.as_record(), indent=2)

    def as_record(self) -> dict[str, Any]:
        """The plan as a JSON-ready mapping."""
        from meshkit.operations.release.route import record_of

        release, found = self.release, self.forecast
        return {
            "what": f"Release {release.namespace}/{release.name}",
            "mesh": self.mesh,
            "cluster": vars(self.cluster),
            "change": self.change_id,
            "release": release.model_dump(mode="json"),
            "route": {"object": str(self.route), **record_of(self.route)},
            "owners": list(self.owners),
            "edges": [{"object": str(each.route), **record_of(each.route)} for each in self.edges],
            "weights": dict(zip((release.stable, release.canary), self.weights, strict=True)),
            "additions": dict(self.additions),
            "steps": list(release.ladder),
            "unmoved": list(self.unmoved),
            "missing_rights": self.missing_rights,
            "missing_events": self.missing_events,
            "findings": [finding.as_record() for finding in self.all_findings],
            "resumes": _resumed(self.resumed),
            "forecast": None if isinstance(found, str) else found.as_record(),
            "forecast_unknown": found if isinstance(found, str) else "",
        }

    @property
    def routes(self) -> tuple[WeightedRoute, ...]:
        """The rules whose weights are shifted, in the order of the writes of a step."""
        return (self.route, *(place.route for place in self.edges))

    def as_change(self, change_id: str) -> ReleasePlan:
        """The same plan with this id for its change; one that resumes a run keeps the run's own."""
        return self if self.resumed else replace(self, change_id=change_id)

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Outcome:
        """Run the release to its end, or resume it; ``mk.apply`` calls this.

        ``progress`` gets a ``ReleaseLooked`` with the state after every iteration. Before any change, it
        raises ``Forbidden`` naming all missing rights, and ``Conflict`` if another process runs the release,
        or if the weights or the state of the release have changed since the plan; later,
        ``ManualActionRequired`` if the route disappears.
        """
        from meshkit.cluster.journal import Journal
        from meshkit.operations.release.commands import Mailbox
        from meshkit.operations.release.running.loop import Runner
        from meshkit.operations.release.running.start import start
        from meshkit.operations.release.state.fold import fold

        journal, mailbox = Journal(cluster), Mailbox(cluster, self.release.name)
        rights.require_rights(cluster, self.routes, self.release)
        with hold_lock(cluster, self.release, self.clock) as lock:
            runner = Runner(
                start(self, cluster, journal, mailbox, lock, why),
                cluster,
                observer=self.observer,
                clock=self.clock,
                journal=journal,
                lock=lock,
                mailbox=mailbox,
                on_look=lambda state: progress(ReleaseLooked(state)),
            )
            state = runner.run()
        with suppress(MeshkitError):  # Else the outcome has the recent looks, which the runner kept.
            state = fold(journal.records(state.change_id))
        return Outcome(cast(Result, state.result), state.change_id, state.sentences, state, cluster.ref)


def plan_release(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> ReleasePlan:
    """Plan a release, or the rest of one whose process has died; changes nothing.

    The plan names the live route, whoever wrote it, and its weights. ``prometheus`` is the URL of the
    Prometheus to query; the default is the one in the settings, else the sidecars' metrics endpoints. Raises
    ``BadInput`` if the release does not match the route, or if it already runs with other settings or in a
    train.
    """
    return plan_member("", release, cluster, mesh=mesh, prometheus=prometheus, observer=observer, clock=clock)


def plan_member(
    train: str,
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None,
    prometheus: str | None,
    observer: Observer | None,
    clock: Clock | None,
) -> ReleasePlan:
    """Plan a release as a member of a train, or with an empty ``train`` alone."""
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, (release.namespace,))
    observer, clock = observer or observer_of(mesh, prometheus), clock or SystemClock()
    try:
        resumed = running_state(release.name, cluster)
    except Forbidden:
        resumed = None  # The plan lists all missing rights together.
    if resumed is not None:
        if resumed.train != train:
            require_alone(resumed, "run")
            problem = f"{release.name!r} already runs without train {train!r}."
            raise BadInput("release", problem, remedy="Let it end, or roll it back first.")
        return _rest(resumed, release, cluster, mesh, observer, clock)
    return replace(_whole(release, cluster, mesh, observer, clock, scraped=prometheus), train=train)


def _whole(
    release: Release,
    cluster: Cluster,
    mesh: str,
    observer: Observer,
    clock: Clock,
    *,
    scraped: str | None,
) -> ReleasePlan:
    """The plan of a release that does not run."""
    from meshkit import settings
    from meshkit.checks import gitops
    from meshkit.cluster.journal import new_id
    from meshkit.operations.release.edge.places import place_now, require_same_share
    from meshkit.operations.release.forecast import measured_forecast
    from meshkit.operations.release.route import find_route, owners, weights_of

    found = find_route(mesh, release, cluster)
    route, routes = found.route, (found.route, *found.edges)
    try:
        _require_port(cluster, release)
        obj = _route_now(cluster, route, release.port)
        edges = tuple(place_now(each, release, cluster) for each in found.edges)
    except Forbidden:
        rights.require_rights(cluster, routes, release)
        raise
    current = weights_of(obj, route, release)
    found.require_usable()
    most = 0.0 if release.lead_in else release.steps[0]
    if current.canary_percent and current.canary_percent >= most:
        raise BadInput(
            "release.canary",
            f"{release.canary} already gets {current.canary_percent:g} % of {route}.",
            remedy=f"Give all weight to {release.stable} first, or start with a higher step."
            " 'meshkit release rollback -f FILE' does so if a release moved it and its records are gone.",
        )
    require_same_share(edges, route, current.canary_percent, release)
    by_scrapes = bool(scraped or settings.prometheus())
    return ReleasePlan(
        release=release,
        mesh=mesh,
        cluster=cluster.ref,
        change_id=new_id(),
        route=route,
        owners=owners(obj, route),
        weights=current.pair,
        additions=additions_of(mesh, release, route, obj, current),
        observer=observer,
        clock=clock,
        unmoved=found.unmoved,
        findings=(*found.findings, *gitops.of_release(obj, route)),
        edges=edges,
        missing_rights=rights.missing_rights(cluster, routes, release),
        missing_events=rights.missing_events(cluster, release),
        measure=lambda: measured_forecast(release, cluster, mesh, route, observer, clock, scraped=by_scrapes),
    )


def _rest(
    state: ReleaseState, release: Release, cluster: Cluster, mesh: str, observer: Observer, clock: Clock
) -> ReleasePlan:
    """The plan of the rest of a release, with the route that its journal names."""
    from meshkit.operations.release.edge.places import place_of
    from meshkit.operations.release.route import owners, route_of

    if state.release != release or state.mesh != mesh:
        raise BadInput(
            "release",
            f"{release.name!r} is already running with other settings.",
            remedy="Run it with the same settings, roll it back first, or choose another name.",
        )
    route, edges = route_of(state.route), tuple(map(place_of, state.edges))
    routes = (route, *(place.route for place in edges))
    return ReleasePlan(
        release=release,
        mesh=mesh,
        cluster=cluster.ref,
        change_id=state.change_id,
        route=route,
        owners=owners({"metadata": {"managedFields": state.managed_fields}}, route),
        weights=state.found_weights,
        additions=state.additions,
        observer=observer,
        clock=clock,
        edges=edges,
        train=state.train,
        missing_rights=rights.missing_rights(cluster, routes, release),
        missing_events=rights.missing_events(cluster, release),
        resumed=state,
    )


def _require_port(cluster: Cluster, release: Release) -> None:
    service = cluster.api.get(Kind("v1", "Service"), release.service, release.namespace)
    where = f"Service {release.namespace}/{release.service}"
    if service is None:
        remedy = "Correct namespace and service, or create it."
        raise BadInput("release.service", f"{where} does not exist.", remedy=remedy)
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if release.port not in ports:
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}."
        raise BadInput("release.port", f"{where} has no port {release.port}.", remedy=remedy)


def _route_now(cluster: Cluster, route: WeightedRoute, port: int) -> Object:
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        raise BadInput(
            "release.service",
            f"{route} does not exist, and no other route rules the requests to port {port}.",
            remedy="Plan a Route with both versions first (mk.plan).",
        )
    return obj


def _resumed(state: ReleaseState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {"status": state.status, "step": state.step, "asked_percent": state.asked_percent}
