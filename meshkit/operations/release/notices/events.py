"""Write a notice as Kubernetes Events, on the Service and on the workload of the canary."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from meshkit.errors import ClusterError, Conflict
from meshkit.facts import Kind
from meshkit.operations.release.baseline import WORKLOADS, workload_of
from meshkit.operations.release.route import route_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.rights import Right
    from meshkit.intent.release import Release
    from meshkit.operations.release.notices.notice import Notice
    from meshkit.operations.release.state.model import ReleaseState

COMPONENT = "meshkit"
MESSAGE_CHARACTERS = 1000
"""The API server refuses longer messages."""
SERVICE = Kind("v1", "Service")


class EventWriter:
    """Write the Events of one release; what cannot be read or written is told by a ``ClusterError``."""

    def __init__(self, state: ReleaseState, cluster: Cluster) -> None:
        self._release, self._route = state.release, route_of(state.route)
        self._cluster = cluster
        self._about: list[dict[str, Any]] | None = None

    def write(self, notice: Notice) -> None:
        """Write one Event on each object."""
        if self._about is None:
            self._about = self._objects()
        for each in self._about:
            try:
                self._cluster.api.create(self._event(notice, each))
            except Conflict:
                continue  # It was written before.

    def _objects(self) -> list[dict[str, Any]]:
        """References to the Service and, if it can be read, to the workload of the canary."""
        release, api = self._release, self._cluster.api
        service = api.get(SERVICE, release.service, release.namespace)
        found = [{**service, "apiVersion": "v1", "kind": "Service"}] if service else []
        try:
            workload = workload_of(self._cluster, release, self._route, release.canary)
        except ClusterError:
            workload = None
        return [_reference(each) for each in (*found, *([dict(workload)] if workload else []))]

    def _event(self, notice: Notice, about: dict[str, Any]) -> dict[str, Any]:
        at = datetime.fromtimestamp(notice.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        number = f"{about['kind'].lower()}.{int(notice.at_s * 1e6):x}.{notice.reason.lower()}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about['name']}.{number}", "namespace": about["namespace"]},
            "involvedObject": about,
            "reason": notice.reason,
            "message": notice.text[:MESSAGE_CHARACTERS],
            "type": "Warning" if notice.warns else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._release.name,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }


def event_rights(release: Release) -> set[Right]:
    """The permissions to write Events on the Service and on the workload; a release runs without them."""
    from meshkit.cluster.rights import Right

    where = release.namespace
    required = {Right("list", kind.group, f"{kind.kind.lower()}s", where) for kind in WORKLOADS}
    return {*required, Right("create", "", "events", where)}


def _reference(obj: dict[str, Any]) -> dict[str, Any]:
    meta = obj["metadata"]
    found = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": meta["name"]}
    more = {"namespace": meta.get("namespace"), "uid": meta.get("uid")}
    return {**found, **{name: value for name, value in more.items() if value}}
