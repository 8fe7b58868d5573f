"""Measure releases in threads and answer for them until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.operations.judge.server import JudgeServer
from meshkit.operations.judge.session import Session

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.observe.counters import Observer
    from meshkit.operations.clock import Clock

PORT = 8766


@contextmanager
def serving(
    releases: Sequence[Release],
    cluster: Cluster,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    mesh: str | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Iterator[JudgeServer]:
    """Measure these releases and answer for them for the duration of a ``with`` block.

    Raises ``BadInput`` if there is none, if two have the same name, or if the address cannot be bound.
    """
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.which_mesh import mesh_of

    _require_names(releases)
    mesh = mesh_of(cluster, mesh, tuple({release.namespace for release in releases}))
    clock = clock or SystemClock()
    sessions = [
        Session(each, cluster, mesh=mesh, observer=observer or observer_of(mesh, prometheus), clock=clock)
        for each in releases
    ]
    judgements = {(each.release.namespace, each.release.name): each.latest for each in sessions}
    server, stop = JudgeServer(host, port, judgements), threading.Event()
    threads = [threading.Thread(target=session.run, args=(stop,), daemon=True) for session in sessions]
    threads.append(threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(timeout=10)


def _require_names(releases: Sequence[Release]) -> None:
    if not releases:
        raise BadInput("-f", "there is no release.", remedy="Write documents of `kind: Release`.")
    names = [f"{release.namespace}/{release.name}" for release in releases]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("release.name", f"{name} is there twice.", remedy="Give each its own name.")
