"""Change the weights of a route that has another owner, and what a release adds beside them; hand its fields
back afterwards.

Every write first renews the lock, so that a writer who lost it stops writing, and tests the resourceVersion
and the destinations that were read. Fields are handed back in a separate write, because the server gives a
changed field to its last writer. That write changes no value; if a kill prevents it, the next process repeats
it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meshkit.decide.ladder import share_percent
from meshkit.errors import BadInput, ChangedByOthers, Conflict, ManualActionRequired, Rejected
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.operations.release.additions import Additions, changes, present
from meshkit.operations.release.managed_fields import handed_back
from meshkit.operations.release.route import Weights, weights_of
from meshkit.operations.release.state.model import SAME_POINTS

if TYPE_CHECKING:
    from meshkit.cluster.api import Api
    from meshkit.cluster.lock import Lock
    from meshkit.facts import Object
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute

_ATTEMPTS = 5


Pair = tuple[int, int]
"""The weights of the stable version and of the canary."""


class WeightWriters:
    """Read and write the weights of a release in all of its rules; the caller holds the lock.

    The rule for callers in the mesh is the first; those at gateways follow in the order of their names.
    Kubernetes has no change of several objects at once: each is a write of its own, in this order. All are
    read before the first is written, and a write that does not happen is repeated by the next process. So
    between two writes, callers in the mesh are one step ahead of those from outside. What a release adds
    beside the weights stands in the first rule's object only.
    """

    def __init__(
        self,
        api: Api,
        lock: Lock,
        routes: Sequence[WeightedRoute],
        release: Release,
        additions: Additions,
    ) -> None:
        of_mesh, *of_edges = routes
        self._of_mesh = WeightWriter(api, lock, of_mesh, release, additions)
        self._writers = (self._of_mesh, *(WeightWriter(api, lock, each, release, {}) for each in of_edges))

    def read(self) -> list[tuple[Object, Weights]]:
        """Return each object with its weights; raise ``ManualActionRequired`` if one no longer exists."""
        return [writer.read() for writer in self._writers]

    def managed_fields(self) -> list[list[Mapping[str, Any]]]:
        """The managedFields of each object."""
        return [obj["metadata"].get("managedFields") or [] for obj, _ in self.read()]

    def percents(self) -> list[tuple[str, float]]:
        """Each object with the canary's share in it, in percent."""
        shares = [found.canary_percent for _, found in self.read()]
        return [(str(each.route), share) for each, share in zip(self._writers, shares, strict=True)]

    def difference(self, stable: int, canary: int) -> dict[str, list[int]]:
        """Return both weights before and after a write, by version, and by object for those at gateways."""
        first, *others = self._writers
        changes = first.difference(stable, canary)
        for other in others:
            for version, change in other.difference(stable, canary).items():
                changes[f"{other.route} {version}"] = change
        return changes

    def present(self) -> set[str]:
        """The names of the release's additions that are there now."""
        return self._of_mesh.present(*self._of_mesh.read())

    def tidy(self) -> bool:
        """Remove the release's additions and leave the weights as they are; return whether there were any."""
        return self._of_mesh.tidy()

    def move(
        self,
        stable: int,
        canary: int,
        expected_percent: float | None = None,
        *,
        added: Collection[str] = (),
    ) -> None:
        """Write the same weights everywhere, as ``WeightWriter.move`` does."""
        self.move_each([(stable, canary)] * len(self._writers), expected_percent, added=added)

    def move_each(
        self,
        pairs: Sequence[Pair],
        expected_percent: float | None = None,
        *,
        added: Collection[str] = (),
    ) -> None:
        """Write the weights of each rule; with ``expected_percent``, only if nobody has changed one.

        Raises ``ChangedByOthers`` before the first write if a share is neither that nor the requested one.
        """
        if expected_percent is not None:
            for (where, share), pair in zip(self.percents(), pairs, strict=True):
                if not (same_percent(share, expected_percent) or same_percent(share, share_percent(*pair))):
                    raise ChangedByOthers(where, share)
        for writer, pair in zip(self._writers, pairs, strict=True):
            wanted = added if writer is self._of_mesh else ()
            writer.move(*pair, expected_percent=expected_percent, added=wanted)

    def move_back(self, pairs: Sequence[Pair], left_percent: float, left_by: str) -> None:
        """Restore the weights of each rule, if the canary has the share with which ``left_by`` left it.

        Raises ``ManualActionRequired``, without changing anything, if others have changed one since.
        """
        try:
            self.move_each(pairs, expected_percent=left_percent)
        except ChangedByOthers as found:
            raise ManualActionRequired(
                f"{found.where} has since been changed by others: {found.message}, {left_by} left"
                f" {left_percent:g} %.",
                remedy="Nothing was changed. Plan a Route with the weights you want.",
            ) from found

    def hand_back(self, saved: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Return the fields of each object to their managers; ``saved`` are its managedFields before."""
        for writer, fields in zip(self._writers, saved, strict=True):
            writer.hand_back(fields)


class WeightWriter:
    """Read and write the weights of one rule, and the release's additions in front of it."""

    def __init__(
        self, api: Api, lock: Lock, route: WeightedRoute, release: Release, additions: Additions
    ) -> None:
        self.route = route
        self._api, self._lock, self._release = api, lock, release
        self._additions = additions

    def read(self) -> tuple[Object, Weights]:
        """Return the object and its weights; raise ``ManualActionRequired`` if either no longer exists."""
        obj = self._api.get(self.route.kind, self.route.name, self.route.namespace)
        if obj is None:
            raise ManualActionRequired(
                f"{self.route} is gone.",
                remedy="Restore it (meshkit undo, or apply it again), then run the release again.",
            )
        try:
            return obj, weights_of(obj, self.route, self._release)
        except BadInput as error:
            raise ManualActionRequired(
                f"{self.route} was changed by someone else: {error.problem}",
                remedy="Restore its versions, then run the release again.",
            ) from error

    def difference(self, stable: int, canary: int) -> dict[str, list[int]]:
        """Return both weights before and after a write, by version."""
        now, release = self.read()[1], self._release
        return {release.stable: [now.stable.weight, stable], release.canary: [now.canary.weight, canary]}

    def present(self, obj: Object, found: Weights) -> set[str]:
        """The names of the release's additions that the object has now."""
        return present(obj, self.route, found, self._additions)

    def move(
        self,
        stable: int,
        canary: int,
        expected_percent: float | None = None,
        *,
        added: Collection[str] = (),
    ) -> None:
        """Write both weights, and leave these additions of the release and no other, by one patch.

        With ``expected_percent``, only if the canary still has this share. Raises ``ChangedByOthers`` if the
        share is neither that nor the requested one.
        """
        wanted = share_percent(stable, canary)
        for attempt in range(1, _ATTEMPTS + 1):
            obj, current = self.read()
            there = current.pair == (stable, canary)
            if expected_percent is not None and not same_percent(current.canary_percent, expected_percent):
                if not same_percent(current.canary_percent, wanted):
                    raise ChangedByOthers(str(self.route), current.canary_percent)
                there = True
            rules = list(changes(obj, self.route, current, self._additions, added))
            if there and not rules:
                return
            written = current.tests if there else current.patch(stable, canary)
            if self._patched([*written, *rules], last=attempt == _ATTEMPTS):
                return

    def tidy(self) -> bool:
        """Remove the release's additions and leave the weights as they are; return whether there were any."""
        for attempt in range(1, _ATTEMPTS + 1):
            obj, current = self.read()
            rules = list(changes(obj, self.route, current, self._additions, ()))
            if not rules:
                return attempt > 1
            if self._patched([*current.tests, *rules], last=attempt == _ATTEMPTS):
                return True
        return False

    def hand_back(self, saved: Sequence[Mapping[str, Any]]) -> None:
        """Return the fields to their managers; ``saved`` are the managedFields before the release."""
        for attempt in range(1, _ATTEMPTS + 1):
            obj, found = self.read()
            current = obj["metadata"].get("managedFields") or []
            fields = handed_back(saved, current, RELEASE_MANAGER)
            if fields == current or not fields:
                return
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": found.resource_version}
            put = {"op": "replace", "path": "/metadata/managedFields", "value": fields}
            if self._patched([test, put], last=attempt == _ATTEMPTS):
                return

    def _patched(self, operations: list[dict[str, Any]], *, last: bool) -> bool:
        """Apply the patch; return False if a test failed and the caller may retry."""
        self._lock.renew()
        try:
            route = self.route
            self._api.json_patch(route.kind, route.name, route.namespace, operations, manager=RELEASE_MANAGER)
        except (Conflict, Rejected) as error:
            if last or error.status not in (409, 422):
                raise
            return False
        return True


def same_percent(left: float, right: float) -> bool:
    """Whether two shares are equal within the precision of integer weights."""
    return math.isclose(left, right, abs_tol=SAME_POINTS)
