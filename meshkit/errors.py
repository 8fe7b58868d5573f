"""The exceptions that meshkit raises; each has facts as attributes, a remedy and its cause.

MeshkitError
|-- BadInput                  a field of the user's input is wrong; nothing changed   (exit 2)
|   |-- UnknownName           a mesh, runbook, parameter or context does not exist    (exit 2)
|   `-- UnsupportedByMesh     the chosen mesh does not support a field                (exit 2)
|-- ClusterError              an API server refused a request or did not answer       (exit 1)
|   |-- Unreachable           no answer                                               (exit 1)
|   |-- Unauthenticated       token or certificate refused (401)                      (exit 1)
|   |-- Forbidden             the rights are missing (403)                            (exit 1)
|   |-- Conflict              someone else owns a field, or changed the object (409)  (exit 1)
|   |-- Rejected              the server refused the object (400, 404, 422, ...)      (exit 1)
|   |-- BrokenJournal         others changed or deleted a record of the journal       (exit 1)
|   `-- TimedOut              a condition was not met in time                         (exit 1)
|-- ChangeFailed              a change failed half way and was undone                 (exit 1)
|-- Stopped                   a user stopped a change, and it was undone              (exit 1)
|-- Halted                    a change stopped half way and is not undone             (exit 1)
|   `-- GateHalted            traffic got worse; the whole operation must be undone   (exit 1)
|-- GateFailed                traffic got worse while a change was applied            (exit 1)
|-- ManualActionRequired      an undo failed, or a user must repair a state           (exit 4)
|   |-- ChangedByOthers       another client changed the weights of a release         (exit 4)
|   `-- ReleaseLost           the records of a release that has not ended are gone    (exit 4)
|-- ReleaseNotStarted         the process of a detached release ended at once         (exit 1)
|-- RunbookFailed             a runbook ended with an unexpected exit code            (exit 1)
|-- Unhealthy                 checks found errors in a mesh                           (exit 1)
|   `-- WarningsFound         checks found warnings only, in strict mode              (exit 5)
|-- RolledBack                a release was rolled back to the stable version         (exit 1)
|-- Undecided                 a release reached its deadline without a verdict        (exit 3)
|-- NoData                    nothing was measured: neither success nor failure       (exit 3)
`-- SandboxError              the sandbox cannot run on this machine                  (exit 1)
    `-- ApiError              the sandbox's API server refuses a request (sandbox/api/status.py)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

CHANGES_PENDING = 5
"""The exit code of a plan or dry run that has changes to apply. It is not an error."""


_LONG_WORD = re.compile(r"(\S{300})\S{50,}")


def _shortened(text: str) -> str:
    """The text with long words cut, since an error repeats what a user has written."""
    return _LONG_WORD.sub(r"\1...", text)


class MeshkitError(Exception):
    """The base class of all errors that meshkit raises on purpose.

    ``message`` says what is wrong and ``remedy`` what to do next; ``str()`` joins the two.
    ``exit_code`` is the exit code of the command line for this error.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class BadInput(MeshkitError):
    """The user's input is invalid; nothing was changed. ``field`` is a path such as ``release.steps[2]``."""

    exit_code = 2

    def __init__(self, field: str, problem: str, *, remedy: str) -> None:
        field, problem = _shortened(field), _shortened(problem)
        super().__init__(f"{field}: {problem}", remedy=remedy)
        self.field = field
        self.problem = problem


class UnknownName(BadInput):
    """A name does not exist. The remedy lists the known names and suggests the closest one."""

    def __init__(self, field: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(names) if names else "none"
        super().__init__(field, f"{name!r} is not known.", remedy=f"{guess}Known: {listed}.")
        self.name = name
        self.known = tuple(names)


class UnsupportedByMesh(BadInput):
    """The chosen mesh does not support what a field asks for, and meshkit does not emulate it."""


class ClusterError(MeshkitError):
    """An API server refused or did not answer. ``status`` is the HTTP status, or None without an answer."""

    def __init__(self, message: str, *, remedy: str, status: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Unreachable(ClusterError):
    """The API server does not answer."""


class Unauthenticated(ClusterError):
    """The API server does not accept the token or certificate (401)."""


class Forbidden(ClusterError):
    """The user lacks a right (403)."""


class Conflict(ClusterError):
    """Another field manager owns a field, or the object has changed since it was read (409).

    ``managers`` maps each other manager to the fields it owns.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        managers: dict[str, tuple[str, ...]] | None = None,
        status: int = 409,
    ) -> None:
        super().__init__(message, remedy=remedy, status=status)
        self.managers = managers or {}


class Rejected(ClusterError):
    """The API server refused the object. ``causes`` lists (field, reason) pairs if the server gave them."""

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        status: int | None = None,
        causes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, remedy=remedy, status=status)
        self.causes = causes


class BrokenJournal(ClusterError):
    """The records of a change cannot be read, because others changed or deleted some of them."""


class TimedOut(ClusterError):
    """A condition was not met in time. ``waited_s`` is the timeout in seconds."""

    def __init__(self, message: str, *, remedy: str, waited_s: float) -> None:
        super().__init__(message, remedy=remedy)
        self.waited_s = waited_s


class ChangeFailed(MeshkitError):
    """A change failed half way. ``change_id`` is its id in the journal; ``undone`` tells if it was undone."""

    def __init__(self, message: str, *, remedy: str, change_id: str, undone: bool) -> None:
        super().__init__(message, remedy=remedy)
        self.change_id = change_id
        self.undone = undone


class Stopped(MeshkitError):
    """A user stopped a change while it ran."""


class Halted(MeshkitError):
    """A change stopped half way and is not undone here; the message says what undoes it."""


class GateHalted(Halted):
    """Traffic got worse, and undoing this one change is not enough: the whole operation must be undone."""


class GateFailed(MeshkitError):
    """Traffic got worse during a change: calls fail, are refused, are in plain text, or have stopped."""


class ManualActionRequired(MeshkitError):
    """A user must act: an undo failed, or other clients have changed objects since."""

    exit_code = 4


class ChangedByOthers(ManualActionRequired):
    """Another client changed the weights of a release, or a rule that it had added, in the object ``where``.

    ``percent`` is the canary's current share there.
    """

    def __init__(self, where: str, percent: float, what: str = "") -> None:
        remedy = "Set the weights you want, then run the release again."
        super().__init__(what or f"the canary gets {percent:g} %", remedy=remedy)
        self.where = where
        self.percent = percent


class ReleaseLost(ManualActionRequired):
    """The records of a release that has not ended were deleted; the message says which weights stand."""


class ReleaseNotStarted(MeshkitError):
    """The process of a detached release ended before the release started; its exit code is kept."""

    def __init__(self, message: str, *, remedy: str, exit_code: int = 1) -> None:
        super().__init__(message, remedy=remedy)
        self.exit_code = exit_code


class RunbookFailed(MeshkitError):
    """A runbook ended with an unexpected exit code."""


class Unhealthy(MeshkitError):
    """Checks found errors in a mesh, or in the cluster that it is to be installed into."""


class WarningsFound(Unhealthy):
    """Checks found warnings but no errors, and the caller treats warnings as failures."""

    exit_code = 5


class RolledBack(MeshkitError):
    """A release was rolled back: the stable version serves all requests again."""


class Undecided(MeshkitError):
    """A release reached its deadline without a verdict, or another client changed its weights."""

    exit_code = 3


class NoData(MeshkitError):
    """Nothing was measured. A release holds on this error; it counts neither as success nor as failure."""

    exit_code = 3


class SandboxError(MeshkitError):
    """The sandbox cannot run on this machine, or cannot do what was requested."""
