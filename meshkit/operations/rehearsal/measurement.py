"""Measurements during a rehearsal: ready replicas, injection and the callers' requests.

Ready replicas are read at every sample, injection is requested repeatedly as a dry run, and requests come
from the counters of the callers' sidecars.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from meshkit.cluster.connect import Cluster
from meshkit.decide.formatting import count
from meshkit.errors import ClusterError, MeshkitError
from meshkit.facts import Snapshot
from meshkit.kube import manifests
from meshkit.kube.kinds import POD
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_ready
from meshkit.meshes.injection import rules_of, runs_sidecar
from meshkit.meshes.view import View
from meshkit.observe.callers import Reading, between, read_callers, refused_text

_PROBE = "meshkit-rehearsal"


@dataclass(frozen=True)
class Counted:
    """The measurements of a rehearsal over ``seconds``.

    They are: the lowest number of ready replicas of each component in ``looks`` samples; how often injection
    was requested and failed, the longest run of failures, and the last reason; and requests as counted by the
    sidecars that exist at the end.
    """

    seconds: float
    looks: int
    least_ready: dict[str, int]
    asked: int
    unanswered: int
    unanswered_in_a_row: int
    trouble: str
    requests: int
    failed: int
    refused: int = 0
    """Calls refused for lack of a mesh identity, at the servers that show it."""
    unseen: tuple[str, ...] = ()
    """The servers whose refused calls cannot be seen."""
    left: tuple[str, ...] = ()

    def with_left(self, left: tuple[str, ...]) -> Counted:
        """Return a copy with the pods that did not leave."""
        return replace(self, left=left)

    def sentences(self) -> Iterator[str]:
        """Yield the measurements, one sentence each."""
        for component, least in self.least_ready.items():
            yield f"{component}: at least {least} ready replicas, in {self.looks} samples."
        if self.asked:
            yield f"Injection: {self.asked - self.unanswered} of {self.asked} pods got a sidecar (dry runs)."
        else:
            yield "Injection: not measured, no namespace has meshed pods."
        if self.requests or self.failed:
            failed, answered = count(self.failed), count(self.requests)
            yield f"Requests in the mesh: {failed} without an answer, {answered} with one."
        else:
            yield "Requests in the mesh: none seen, so losses cannot be measured."
        if self.refused or self.unseen:
            text = refused_text(self.refused, self.unseen)
            yield f"Calls without a mesh identity: {text}."
        if self.left:
            yield f"{len(self.left)} pods did not leave: {', '.join(self.left[:3])}."


def _sidecarless(view: View) -> set[str]:
    """The namespaces whose new pods are in the mesh without a sidecar; pods of before may still have one."""
    rules = rules_of(view.mesh)
    return {
        home["metadata"]["name"]
        for home in view.of("Namespace")
        if rules.sidecarless({}, home) and not rules.asked(home)
    }


class Watcher:
    """Sample the cluster every ``look_s`` seconds in a background thread, from ``start`` to ``stop``.

    Read ``counted`` after ``stop``.
    """

    def __init__(self, cluster: Cluster, view: View, look_s: float) -> None:
        self._cluster, self._view, self._look_s = cluster, view, look_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rehearsal watch", daemon=True)
        self._least: dict[str, int] = {}
        self._looks = self._asked = self._unanswered = 0
        self._in_a_row = self._most_in_a_row = 0
        self._trouble = ""
        self._asking = next(iter(sorted(view.meshed_namespaces - _sidecarless(view))), "")
        self._before: dict[str, Reading] = {}
        self._began_s = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._began_s = time.monotonic()
        self._before = self._readings()
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End looking."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def counted(self) -> Counted:
        """What was counted."""
        after = self._readings()
        calls = [between(self._before[name], after[name]) for name in self._before if name in after]
        return Counted(
            seconds=time.monotonic() - self._began_s,
            looks=self._looks,
            least_ready=dict(self._least),
            asked=self._asked,
            unanswered=self._unanswered,
            unanswered_in_a_row=self._most_in_a_row,
            trouble=self._trouble,
            requests=sum(links.count("mutual_tls", "plain") for links in calls),
            failed=sum(links.count("failed") for links in calls),
            refused=sum(links.count("refused") for links in calls),
            unseen=tuple(sorted({server for links in calls for server in links.unseen})),
        )

    def _run(self) -> None:
        while not self._over.wait(self._look_s):
            self._look()

    def _look(self) -> None:
        try:
            pods = self._cluster.api.list(POD, self._view.home)
        except ClusterError:
            return
        self._looks += 1
        now = replace(self._view, snapshot=Snapshot(tuple(pods)))
        for component in self._view.components:
            ready = sum(map(is_ready, now.pods_of(component)))
            name = title(component)
            self._least[name] = min(ready, self._least.get(name, ready))
        if self._asking:
            self._asked += 1
            trouble = self._injection_trouble()
            self._in_a_row = self._in_a_row + 1 if trouble else 0
            self._most_in_a_row = max(self._most_in_a_row, self._in_a_row)
            self._unanswered += bool(trouble)
            self._trouble = trouble or self._trouble

    def _injection_trouble(self) -> str:
        """Create a pod as a server-side dry run, which calls the injector, and return what went wrong."""
        container = {"name": "app", "image": "meshkit.dev/rehearsal"}
        pod = manifests.obj(POD, _PROBE, self._asking, spec={"containers": [container]})
        try:
            made = self._cluster.api.apply(pod, dry_run=True, manager=_PROBE)
        except ClusterError as error:
            return error.message
        return "" if runs_sidecar(made, self._view.mesh) else "the pod was created without a sidecar."

    def _readings(self) -> dict[str, Reading]:
        readings = {}
        for name in sorted(self._view.meshed_namespaces):
            try:
                readings[name] = read_callers(self._cluster, self._view.mesh, name)
            except MeshkitError:
                continue
        return readings
