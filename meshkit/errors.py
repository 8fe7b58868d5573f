"""The one tree of errors. Each carries facts as attributes, a remedy, and its cause (``raise ... from``).

MeshkitError
|-- BadInput                  a field the user wrote: nothing has been changed        (exit 2)
|   |-- UnknownName           a mesh, runbook, parameter or context does not exist    (exit 2)
|   `-- UnsupportedByMesh     the chosen mesh has no means for what is asked          (exit 2)
|-- ClusterError              what an API server answered, or that it did not         (exit 1)
|   |-- Unreachable           no answer                                               (exit 1)
|   |-- Unauthenticated       token or certificate refused (401)                      (exit 1)
|   |-- Forbidden             the rights are missing (403)                            (exit 1)
|   |-- Conflict              someone else owns a field, or changed the object (409)  (exit 1)
|   |-- Rejected              the server refused the object (400, 404, 422, ...)      (exit 1)
|   `-- TimedOut              a wait ended without what it waited for                 (exit 1)
|-- ChangeFailed              a change stopped half way and was undone                (exit 1)
|-- Stopped                   a person stopped a change; what was done is undone      (exit 1)
|-- Halted                    a change stopped half way and stays as it is            (exit 1)
|   `-- GateHalted            calls got worse, and this change alone is not undone    (exit 1)
|-- GateFailed                calls got worse while a change went through the mesh    (exit 1)
|-- ManualActionRequired      an undo failed, or only a person can settle a state     (exit 4)
|   `-- ChangedByOthers       somebody else set the weights of a release              (exit 4)
|-- ReleaseNotStarted         the process of a detached release ended at once         (exit 1)
|-- RunbookFailed             a runbook ended with another exit code than expected    (exit 1)
|-- Unhealthy                 checks found errors in a mesh                           (exit 1)
|   `-- WarningsFound         they found only warnings, and warnings count            (exit 5)
|-- RolledBack                a release was rolled back: stable serves all again      (exit 1)
|-- Undecided                 a release reached its deadline without a verdict        (exit 3)
|-- NoData                    nothing was measured: never success, never failure      (exit 3)
`-- SandboxError              the sandbox cannot run here                             (exit 1)
    `-- ApiError              its API server refuses a request (sandbox/api/status.py)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CHANGES_PENDING = 5
"""The exit code, and no error, of a plan or a dry run that would change something."""


class MeshkitError(Exception):
    """Base of everything meshkit raises on purpose.

    ``message`` says what is wrong, ``remedy`` what to do next; ``str()`` joins the two.
    ``exit_code`` is what the command line returns for it.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class BadInput(MeshkitError):
    """What the user wrote cannot be used; nothing was changed. ``field`` reads ``release.steps[2]``."""

    exit_code = 2

    def __init__(self, field: str, problem: str, *, remedy: str) -> None:
        super().__init__(f"{field}: {problem}", remedy=remedy)
        self.field = field
        self.problem = problem


class UnknownName(BadInput):
    """A name that is not known. Lists the known ones and proposes the nearest."""

    def __init__(self, field: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(names) if names else "none"
        super().__init__(field, f"{name!r} is not known.", remedy=f"{guess}Known: {listed}.")
        self.name = name
        self.known = tuple(names)


class UnsupportedByMesh(BadInput):
    """The chosen mesh has no means for what a field asks: never imitated, never dropped in silence."""


class ClusterError(MeshkitError):
    """An API server refused or did not answer. ``status`` is the HTTP status, or None without an answer."""

    def __init__(self, message: str, *, remedy: str, status: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Unreachable(ClusterError):
    """No answer from the API server."""


class Unauthenticated(ClusterError):
    """The API server does not accept the token or certificate (401)."""


class Forbidden(ClusterError):
    """The user lacks a right (403)."""


class Conflict(ClusterError):
    """Another manager owns a field, or the object has changed since it was read (409).

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
    """The API server refused the object. ``causes`` holds (field, reason) pairs where it named them."""

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


class TimedOut(ClusterError):
    """A wait ended without what it waited for. ``waited_s`` is how long it was given."""

    def __init__(self, message: str, *, remedy: str, waited_s: float) -> None:
        super().__init__(message, remedy=remedy)
        self.waited_s = waited_s


class ChangeFailed(MeshkitError):
    """A change stopped half way. ``change_id`` names its journal, ``undone`` says whether it was put back."""

    def __init__(self, message: str, *, remedy: str, change_id: str, undone: bool) -> None:
        super().__init__(message, remedy=remedy)
        self.change_id = change_id
        self.undone = undone


class Stopped(MeshkitError):
    """A person stopped a change while it ran."""


class Halted(MeshkitError):
    """A change stopped half way and stays as it is; whoever raises it says who takes it back."""


class GateHalted(Halted):
    """Calls got worse, and taking this one change back would not mend them: the whole operation goes back."""


class GateFailed(MeshkitError):
    """Calls got worse than before a change: they fail, are refused, go in plain text, or have ceased."""


class ManualActionRequired(MeshkitError):
    """Only a person can settle this: an undo that failed, or objects that others changed since."""

    exit_code = 4


class ChangedByOthers(ManualActionRequired):
    """The weights of a release are neither what it wrote nor what it found: ``percent`` is the canary's."""

    def __init__(self, percent: float) -> None:
        remedy = "Settle the weights, then run the release again."
        super().__init__(f"the canary gets {percent:g} %", remedy=remedy)
        self.percent = percent


class ReleaseNotStarted(MeshkitError):
    """The process of a detached release ended before it had begun."""


class RunbookFailed(MeshkitError):
    """A runbook ended with another exit code than it should."""


class Unhealthy(MeshkitError):
    """Checks found errors in a mesh, or in what it shall be installed into."""


class WarningsFound(Unhealthy):
    """Checks found only warnings, and the caller asked for none."""

    exit_code = 5


class RolledBack(MeshkitError):
    """A release was rolled back: the stable version serves all requests again."""


class Undecided(MeshkitError):
    """A release reached its deadline without a verdict, or someone else changed its weights."""

    exit_code = 3


class NoData(MeshkitError):
    """Nothing was measured. Holds a release; it is never a success and never a failure."""

    exit_code = 3


class SandboxError(MeshkitError):
    """The sandbox cannot run here, or cannot do what was asked of it."""
