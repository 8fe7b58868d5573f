"""``mk.plan_replay``: a recorded experiment as a plan, which ``mk.apply`` runs in a notebook or in CI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshkit.facts import ClusterRef
from meshkit.operations.experiments.experiment import Experiment, schedule_of
from meshkit.operations.experiments.recording import ExperimentRun, load_experiment
from meshkit.operations.experiments.settings import ExperimentLimits
from meshkit.operations.plan import pending
from meshkit.operations.progress import Note, OnEvent, noop

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.experiments.presets import Moment


@dataclass(frozen=True)
class ReplayPlan:
    """The settings of a recorded experiment with their times. At the end everything is put back."""

    experiment: ExperimentRun
    cluster: ClusterRef
    mesh: str | None = None
    limits: ExperimentLimits | None = None

    confirmation = ""

    @property
    def empty(self) -> bool:
        """Whether the experiment changed nothing."""
        return len(self.experiment.settings) < 2

    def to_json(self) -> str:
        """The schedule as a JSON text."""
        moments = [
            {"at_s": at_s, "settings": settings.as_record() if settings else None}
            for at_s, settings in schedule_of(self.experiment)
        ]
        return json.dumps(
            {"experiment": self.experiment.id, "cluster": vars(self.cluster), "moments": moments}
        )

    def __str__(self) -> str:
        run = self.experiment
        lines = [
            f"Replay of experiment {run.id} with {run.route.namespace}/{run.route.service} on {self.cluster}."
        ]
        lines += map(_said, schedule_of(run))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.experiment.settings) - 1)

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> ExperimentRun:
        """Repeat the settings at their times, measure, and put everything back; ``mk.apply`` calls this."""
        return Experiment.replay(
            self.experiment,
            cluster,
            mesh=self.mesh,
            limits=self.limits,
            why=why or f"replay of {self.experiment.id}",
            on_moment=lambda moment: progress(Note(_said(moment))),
        )


def plan_replay(
    run: ExperimentRun | str | Path,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    limits: ExperimentLimits | None = None,
) -> ReplayPlan:
    """Plan to repeat an experiment, or the file of one, with the same settings at the same times.

    On a cluster that is no sandbox, ``limits`` are those of ``mk.Experiment``.
    """
    found = run if isinstance(run, ExperimentRun) else load_experiment(run)
    return ReplayPlan(found, cluster.ref, mesh, limits)


def _said(moment: Moment) -> str:
    at_s, settings = moment
    return f"{at_s:6.1f} s  {settings if settings is not None else 'the end: everything is put back'}"
