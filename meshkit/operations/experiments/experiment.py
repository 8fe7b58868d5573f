"""``mk.Experiment``: try out settings of a Service's traffic, see what follows, and leave it as it was."""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from meshkit.cluster.journal import Journal, Operation
from meshkit.cluster.lock import held
from meshkit.errors import BadInput, Conflict, MeshkitError, NoData
from meshkit.intent.traffic import Route
from meshkit.observe.counters import Observer, Target
from meshkit.observe.source import observer as observer_of
from meshkit.operations.change import plan as plan_of
from meshkit.operations.chaos import Chaos
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.experiments.applying import Applier
from meshkit.operations.experiments.measurement import CallerCounts, Meter
from meshkit.operations.experiments.presets import PRESETS, Moment, Surroundings
from meshkit.operations.experiments.recording import (
    BETWEEN,
    ExperimentRun,
    Measured,
    RecordedEvent,
    SettingChange,
    load_experiment,
)
from meshkit.operations.experiments.settings import ExperimentLimits, ExperimentSettings, is_disposable
from meshkit.operations.experiments.taking_back import (
    RUN,
    changing,
    ending,
    life_lock,
    open_experiments,
    take_back,
    taken_back,
)
from meshkit.operations.experiments.versions import versions_of
from meshkit.operations.which_mesh import mesh_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

LOOK_S = 1.0
"""Time between two samples."""


class Experiment:
    """An experiment with the traffic of one Service. Leaving it puts everything back from the journal.

    ``route`` is the Service's route, with the versions to experiment with. ``dependencies`` are further
    Services of its namespace to measure, with their ports. On a cluster that is no sandbox, ``limits`` say
    what is allowed; without them it is refused. If a process died and left an experiment with this Service,
    that is taken back first. Raises ``Conflict`` while another process experiments with it.
    """

    def __init__(
        self,
        route: Route,
        cluster: Cluster,
        *,
        mesh: str | None = None,
        limits: ExperimentLimits | None = None,
        dependencies: Iterable[tuple[str, int]] = (),
        why: str = "",
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.mesh = mesh_of(cluster, mesh, (route.namespace,))
        self.route, self.cluster, self.target = route, cluster, f"{route.namespace}/{route.service}"
        self.disposable = is_disposable(cluster)
        self.limits = limits
        if limits is None and not self.disposable:
            problem = f"{cluster} is no sandbox, and no limits are stated."
            limit = f"mk.ExperimentLimits(most_percent={{{route.versions[-1].name!r}: 5}})"
            remedy = f"State what is allowed, such as limits={limit}, or use a sandbox."
            raise BadInput("limits", problem, remedy=remedy)
        self._clock = clock or SystemClock()
        self._setting, self._looking, self._recording = (
            threading.RLock(),
            threading.Lock(),
            threading.RLock(),
        )
        self._life = contextlib.ExitStack()
        self._journal = Journal(cluster)
        left = self._take_over()
        self._life.enter_context(held(cluster, life_lock(self.target)))
        try:
            self._start(why, dependencies, observer)
        except BaseException:
            self._life.close()
            raise
        for each in left:
            self._note(f"took back the experiment {each}, whose process had died")

    def _take_over(self) -> list[str]:
        """Take back the runs whose process has died. Raises ``Conflict`` for one that lives."""
        found = open_experiments(self.cluster, self.target)
        for each in found:
            if each.holder:
                raise Conflict(
                    f"{each.who} has experimented with {self.target} since {each.started} ({each.holder}).",
                    remedy=f"Wait, or stop it with 'meshkit experiment stop {each.id}'.",
                )
        for each in found:
            take_back(each.id, self.cluster, why="its process had died")
        return [each.id for each in found]

    def _start(self, why: str, dependencies: Iterable[tuple[str, int]], observer: Observer | None) -> None:
        operation = Operation(RUN, self.mesh, self.target)
        self.id = self._journal.start(operation, f"Experiment with {self.target}", why)
        atexit.register(self._leave_at_exit)
        self._applier = Applier(self.id, self.route, self.cluster, self.mesh, self._journal)
        route, versions = self.route, tuple(version.name for version in self.route.versions)
        labels = {each.name: each.pod_labels().get("version", each.name) for each in route.versions}
        targets = [Target(route.namespace, route.service, route.port, versions, labels=labels)]
        targets += [
            Target(route.namespace, name, port, (name,), services={name: name}) for name, port in dependencies
        ]
        self._meter = Meter(self.cluster, observer or observer_of(self.mesh, injected=True), targets)
        self._began_s = self._clock.now()
        self._state = ExperimentSettings()
        self._problem = ""
        self._over: str | None = None
        self._in_force_s = self._began_s
        started = datetime.fromtimestamp(self._began_s, UTC).isoformat(timespec="seconds")
        self._run = ExperimentRun(
            self.id,
            self.mesh,
            self.cluster.context,
            started,
            route,
            settings=(SettingChange(0.0, self._state),),
            versions=versions_of(self.cluster, self.mesh, route.namespace),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def run(self) -> ExperimentRun:
        """What was recorded until now."""
        return self._run

    @property
    def settings(self) -> ExperimentSettings:
        """The settings that are in force."""
        return self._state

    @property
    def over(self) -> str | None:
        """How the experiment ended, or None while it goes on."""
        return self._over

    @property
    def problem(self) -> str:
        """Why the last reading gave no samples; empty if it did."""
        return self._problem

    def set(self, **changes: Any) -> ExperimentSettings:
        """Change some settings, and return all that are then in force. None: as the experiment found it.

        The names are those of ``ExperimentSettings``. The prior state is in the journal before anything is
        changed. Raises ``BadInput``, before anything is changed, for what the mesh does not support, what the
        limits do not allow, and after the end.
        """
        return self.put(self._state.changed(changes))

    def put(self, settings: ExperimentSettings) -> ExperimentSettings:
        """Make exactly these settings true; see ``set``."""
        with self._setting:
            self._require_open()
            if not self.disposable and self.limits is not None:
                self.limits.require(settings, self.route)
            if settings == self._state:
                return settings
            with changing(self.cluster, self.target):
                self._require_open()
                self._change_to(settings)
            return settings

    def _change_to(self, settings: ExperimentSettings) -> None:
        """Carry out a change of settings. If it fails half way, everything is put back."""
        planned, at_s = self._applier.prepare(self._state, settings), self._now()
        self._in_force_s = math.inf
        try:
            change = self._applier.carry_out(planned)
            record = {"event": "setting", "at_s": at_s, "settings": settings.as_record(), "change": change}
            self._journal.append(self.id, record)
        except MeshkitError as error:
            taken_back(self.id, self.cluster, why=f"a change failed: {error.message}")
            self._ended(f"a change failed, and everything was put back: {error.message}")
            raise
        self._state, self._in_force_s = settings, self._clock.now()
        self._record(settings=(SettingChange(at_s, settings, change),))
        self._note(str(settings))

    def look(self) -> tuple[Measured, ...]:
        """Take one sample, and notice if someone has stopped the experiment. Call it every second or so."""
        with self._looking:
            if self._over is not None:
                return ()
            if (end := ending(self._journal.records(self.id))) is not None:
                self._ended(f"stopped by {end['who']}")
                return ()
            try:
                counted = self._meter.read()
            except NoData as problem:
                if str(problem) != self._problem:
                    self._note(f"no data: {problem}")
                self._problem = str(problem)
                return ()
            self._problem = ""
            samples = tuple(map(self._measured, counted))
            self._record(samples=samples)
            return samples

    def watch(self, seconds: float, *, look_s: float = LOOK_S) -> ExperimentRun:
        """Take samples for so many seconds, or until someone stops the experiment."""
        return self._watch_until(self._now() + seconds, look_s)

    def play(
        self, schedule: str | Sequence[Moment], *, step_s: float = 20.0, look_s: float = LOOK_S
    ) -> ExperimentRun:
        """Follow a preset by its name, or a schedule of (seconds from now, settings), and take samples.

        A preset's moments are ``step_s`` apart. Unlike ``close``, the end of it puts nothing back.
        """
        moments = self.preset(schedule, step_s) if isinstance(schedule, str) else list(schedule)
        start_s = self._now()
        for at_s, settings in moments:
            self._watch_until(start_s + at_s, look_s)
            if self._over is not None:
                break
            if settings is not None:
                self.put(settings)
        return self._run

    def preset(self, name: str, step_s: float = 20.0) -> list[Moment]:
        """The schedule of a preset. Raises ``BadInput`` for one that this cluster or mesh cannot do."""
        if name not in PRESETS:
            known = ", ".join(sorted(PRESETS))
            raise BadInput("preset", f"{name!r} is not known.", remedy=f"Known: {known}.")
        found = PRESETS[name](Surroundings.of(self.route, self.cluster), step_s)
        for _, settings in found:
            if settings is not None:
                self._require_possible(settings)
        return found

    def workloads(self) -> list[str]:
        """The Deployments whose behaviour can be set; none where it is no sandbox."""
        return Chaos(self.cluster).adjustable(self.route.namespace) if self.disposable else []

    def presets(self) -> dict[str, str]:
        """Each preset with the reason why it is not possible here; empty if it is."""
        reasons = {}
        for name in PRESETS:
            try:
                self.preset(name)
            except BadInput as problem:
                reasons[name] = problem.message
            else:
                reasons[name] = ""
        return reasons

    def close(self) -> None:
        """Put everything back and end the experiment; once more, it does nothing."""
        with self._setting:
            if self._over is None:
                take_back(self.id, self.cluster, why="left")
                self._ended("left, and everything put back")

    def _leave_at_exit(self) -> None:
        """The same while the interpreter ends, when no thread can be started to renew a lock."""
        if self._over is None:
            taken_back(self.id, self.cluster, why="its process ended")
            self._ended("its process ended, and everything was put back")

    @classmethod
    def replay(
        cls,
        run: ExperimentRun | str | Path,
        cluster: Cluster,
        *,
        on_moment: Callable[[Moment], None] = lambda moment: None,
        look_s: float = LOOK_S,
        **options: Any,
    ) -> ExperimentRun:
        """Repeat a run: the same settings at the same times, for as long as it took, then put all back.

        ``options`` are those of ``Experiment``. Returns the new run.
        """
        earlier = run if isinstance(run, ExperimentRun) else load_experiment(run)
        services = dict.fromkeys(each.service for each in earlier.samples)
        options.setdefault(
            "dependencies",
            [(name, earlier.route.port) for name in services if name != earlier.route.service],
        )
        with cls(earlier.route, cluster, **options) as again:
            for moment in schedule_of(earlier):
                on_moment(moment)
                again.play([(max(0.0, moment[0] - again._now()), moment[1])], look_s=look_s)
                if again.over is not None:
                    break
        return again.run

    def _require_possible(self, settings: ExperimentSettings) -> None:
        """Raise ``BadInput`` for settings that the limits, the mesh or the cluster do not allow."""
        if not self.disposable and self.limits is not None:
            self.limits.require(settings, self.route)
        if settings.route(self.route) != self.route:
            plan_of([settings.route(self.route)], self.cluster, mesh=self.mesh)

    def _require_open(self) -> None:
        if self._over is None and (end := ending(self._journal.records(self.id))) is not None:
            self._ended(f"stopped by {end['who']}")
        if self._over is not None:
            problem = f"{self.id} is over: {self._over}."
            raise BadInput("experiment", problem, remedy="Start another with mk.Experiment.")

    def _watch_until(self, at_s: float, look_s: float) -> ExperimentRun:
        while self._over is None and (left_s := at_s - self._now()) > 0:
            due_s = self._now() + min(look_s, left_s)
            self.look()
            self._clock.sleep(due_s - self._now())
        return self._run

    def _measured(self, found: CallerCounts) -> Measured:
        number = len(self._run.settings) - 1 if found.start_s >= self._in_force_s else BETWEEN
        at_s, seconds = found.end_s - self._began_s, found.end_s - found.start_s
        where = (found.service, found.version, found.caller)
        return Measured(round(at_s, 3), round(seconds, 3), number, *where, found.counts)

    def _ended(self, how: str) -> None:
        self._over = how
        self._note(how)
        with self._recording:
            self._run = replace(self._run, ended_s=self._now())
        atexit.unregister(self._leave_at_exit)
        self._life.close()

    def _note(self, what: str) -> None:
        self._record(events=(RecordedEvent(self._now(), what),))

    def _record(self, **more: tuple[Any, ...]) -> None:
        """Add to the tables; samples and settings come from different threads."""
        with self._recording:
            tables = {name: (*getattr(self._run, name), *added) for name, added in more.items()}
            self._run = replace(self._run, **tables)  # type: ignore[arg-type]

    def _now(self) -> float:
        """Seconds since the start."""
        return round(self._clock.now() - self._began_s, 3)


def schedule_of(run: ExperimentRun) -> list[Moment]:
    """The settings of a run with their times, and its end."""
    changes: list[Moment] = [(each.at_s, each.settings) for each in run.settings[1:]]
    return [*changes, (run.duration_s, None)]
