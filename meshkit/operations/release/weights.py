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
from meshkit.operations.release.state import SAME_POINTS

if TYPE_CHECKING:
    from meshkit.cluster.api import Api
    from meshkit.cluster.lock import Lock
    from meshkit.facts import Object
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute

_ATTEMPTS = 5


class WeightWriter:
    """Read and write the weights of one release and its additions; the caller holds the lock."""

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
                    raise ChangedByOthers(current.canary_percent)
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

    def move_back(self, weights: tuple[int, int], left_percent: float, left_by: str) -> None:
        """Restore both weights, if the canary still has the share with which ``left_by`` left it.

        Raises ``ManualActionRequired``, without changing anything, if others have changed it since.
        """
        try:
            self.move(*weights, expected_percent=left_percent)
        except ChangedByOthers as found:
            raise ManualActionRequired(
                f"{self.route} has since been changed by others: {found.message}, {left_by} left"
                f" {left_percent:g} %.",
                remedy="Nothing was changed. Plan a Route with the weights you want.",
            ) from found

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
