"""The proxies that call a service, as earlier readings showed them, and which ones to ask next.

The first reading asks every sidecar. From then on, a reading lists the pods of the callers' namespaces and of
the service's own, and asks the proxies that have counted requests to the service, the pods of its versions,
and sidecars that are new there. Every ``SURVEY_EVERY`` readings the pods of all namespaces are listed, and up
to ``OTHERS`` more sidecars are asked, in turn, because any of them may have begun to call. While no proxy has
counted anything, every reading asks all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.decide.formatting import count
from meshkit.errors import NoData
from meshkit.facts import Coverage
from meshkit.observe.pages import Sidecar, sidecars

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.meshes.metrics import MetricTable
    from meshkit.observe.counters import Target

SURVEY_EVERY = 6
"""Readings from one list of all pods to the next: half a minute at the default of one reading in 5 s."""
OTHERS = 64
"""The most sidecars that are asked in a survey although they have counted nothing so far."""
LEAST_ANSWERED = 0.5
"""The part of the callers, and of all sidecars, of which fewer answers are no measurement."""


class KnownCallers:
    """What one observer has learnt; the sidecars are named by their starts."""

    def __init__(self) -> None:
        self._targets: tuple[Target, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._readings = 0
        self._present: set[str] = set()
        self._calling: dict[str, str] = {}
        """The sidecars that have counted requests to a target, with their namespaces."""
        self._asked: dict[str, int] = {}
        """The reading in which a sidecar was asked last."""
        self._heard: set[str] = set()
        """The sidecars that have ever answered."""

    def chosen(self, cluster: Cluster, table: MetricTable, targets: Sequence[Target]) -> list[Sidecar]:
        """The sidecars to ask in the next reading, the callers first."""
        if tuple(targets) != self._targets:
            self._targets = tuple(targets)
            self._forget()
        survey = not self._calling or self._readings % SURVEY_EVERY == 0
        found = sidecars(cluster, (table,), None if survey else self._namespaces())
        # Shuffled, so that hanging pods do not always prevent the same other pods from being asked.
        random.shuffle(found)
        if survey:
            self._settle({each.name for each in found})
        else:
            self._present.update(each.name for each in found)
        calling = [each for each in found if each.name in self._calling]
        serving = [each for each in found if each.name not in self._calling and self._serves(each)]
        rest = [each for each in found if each.name not in self._calling and not self._serves(each)]
        new = [each for each in rest if each.name not in self._asked]
        others = sorted(
            (each for each in rest if each.name in self._asked), key=lambda each: self._asked[each.name]
        )
        if self._calling:
            others = others[: OTHERS if survey else 0]
        self._readings += 1
        return [*calling, *serving, *new, *others]

    def learn(self, asked: Sequence[Sidecar], pages: Mapping[str, Sequence[object] | None]) -> Coverage:
        """Remember who answered, and what; return how many were asked.

        Raises ``NoData`` if too few of the callers have answered, or too few sidecars ever.
        """
        callers = [each.name for each in asked if each.name in self._calling]
        answered = {name for name, page in pages.items() if page is not None}
        self._heard |= answered
        for sidecar in asked:
            if sidecar.name not in pages:
                continue
            self._asked[sidecar.name] = self._readings
            if any(pages[sidecar.name] or ()):
                self._calling[sidecar.name] = sidecar.namespace
        self._require(len(answered.intersection(callers)), len(callers), "proxies that call the service")
        self._require(len(self._heard & self._present), len(self._present), "sidecars")
        return Coverage(len(self._present), len(pages), len(answered))

    def _require(self, answered: int, of: int, what: str) -> None:
        if answered < LEAST_ANSWERED * of:
            raise NoData(
                f"Only {count(answered)} of {count(of)} {what} answered, too few to compare versions.",
                remedy="Let the API server reach the pods' metrics pages, or measure with --prometheus.",
            )

    def _settle(self, present: set[str]) -> None:
        """Forget the sidecars that are gone."""
        self._present = present
        self._calling = {name: where for name, where in self._calling.items() if name in present}
        self._asked = {name: reading for name, reading in self._asked.items() if name in present}
        self._heard &= present

    def _namespaces(self) -> set[str]:
        return {*self._calling.values(), *(target.namespace for target in self._targets)}

    def _serves(self, sidecar: Sidecar) -> bool:
        """Whether a pod has the label of a version, so that its own page may have counts of it."""
        if not sidecar.table.pod_where:
            return False
        labels = sidecar.pod["metadata"].get("labels") or {}
        return any(
            sidecar.namespace == target.namespace
            and labels.get("version") in {target.labels.get(each, each) for each in target.versions}
            for target in self._targets
        )
