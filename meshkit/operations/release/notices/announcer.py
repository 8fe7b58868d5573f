"""Tell others about every transition of a running release; nothing that fails here stops the release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshkit.errors import ClusterError, NoData
from meshkit.operations.release.notices.events import EventWriter
from meshkit.operations.release.notices.sender import Sender
from meshkit.operations.release.notices.webhook import Post, address_of, post

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.operations.release.notices.notice import Notice
    from meshkit.operations.release.state.model import ReleaseState

CLOSING_S = 20.0
"""The last notices are posted for at most so long after the end."""


class Announcer:
    """The notices of one release: collected while weights are written, and told after that."""

    def __init__(self, state: ReleaseState, cluster: Cluster, *, posting: Post = post) -> None:
        self._cluster = cluster
        self._reference = state.release.notify
        self._namespace = state.release.namespace
        self._events = EventWriter(state, cluster)
        self._sender = Sender(posting)
        self._collected: list[Notice] = []
        self._told: set[str] = set()

    def collect(self, notice: Notice | None) -> None:
        """Keep a notice for the next ``tell``."""
        if notice is not None:
            self._collected.append(notice)

    def tell(self, state: ReleaseState) -> list[str]:
        """Write the collected notices as Events and post them; return new problems as sentences.

        The time of a post is not waited for.
        """
        collected, self._collected = self._collected, []
        problems = self._sender.problems()
        for notice in collected:
            try:
                self._events.write(notice)
            except ClusterError as error:
                problems.append(f"Events are not written: {error.message}")
            if self._reference is None:
                continue
            try:
                address = address_of(self._reference, self._namespace, self._cluster)
                self._sender.send(address, notice.body(state, self._cluster.context))
            except (NoData, ClusterError) as error:
                problems.append(f"The webhook of notices is not asked: {error.message}")
        new = [each for each in dict.fromkeys(problems) if each not in self._told]
        self._told.update(new)
        return new

    def close(self, state: ReleaseState) -> list[str]:
        """Tell what is left, in bounded time, and return the problems as sentences."""
        problems = self.tell(state)
        self._sender.close(CLOSING_S)
        return [*problems, *self._sender.problems()]


def announce(
    notice: Notice, state: ReleaseState, cluster: Cluster, *, journal: Journal | None = None, result: str = ""
) -> None:
    """Tell one transition of a release that no process runs.

    Problems are notes in its ``journal``, with the ``result`` that the release has now; without a journal
    they are not kept.
    """
    announcer = Announcer(state, cluster)
    announcer.collect(notice)
    for problem in announcer.close(state):
        if journal is not None:
            stamp = {"at_s": notice.at_s, "state": result, "who": notice.who}
            journal.append(state.change_id, {"kind": "note", "text": problem, **stamp})
