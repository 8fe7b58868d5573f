"""What a runner asks before it shifts weights or ends: a release alone always may, a member of a train waits
for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from meshkit.operations.release.state.model import ReleaseState, Status


class Permission(Protocol):
    """Whether a release may do now what its verdict, or a command, says."""

    def may_shift(self, state: ReleaseState, step: int) -> bool:
        """Whether it may take a step; it asks again after its next look."""
        ...

    def may_end(self, state: ReleaseState, result: Status, sentences: tuple[str, ...]) -> bool:
        """Whether it may end by itself with this result, for these reasons.

        If not, either it asks again after its next look, or ``Runner.finish`` ends it.
        """
        ...


class _Alone:
    """A release that is released by itself."""

    def may_shift(self, state: ReleaseState, step: int) -> bool:
        return True

    def may_end(self, state: ReleaseState, result: Status, sentences: tuple[str, ...]) -> bool:
        return True


ALONE: Permission = _Alone()
