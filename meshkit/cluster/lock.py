"""A lock for one writer at a time, implemented by a Lease in ``meshkit-system``.

A Lease can be acquired if it has no holder, or if its holder has not renewed it for its duration. Every
change of holder increments ``leaseTransitions``: a write with an outdated number can be refused, so a slow
former holder does no harm. Expiry compares the clocks of two machines, so these need NTP, as TLS does.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import NAMESPACE
from meshkit.errors import ClusterError, Conflict, Halted
from meshkit.facts import Kind

LEASE = Kind("coordination.k8s.io/v1", "Lease")


def holder_of(cluster: Cluster, name: str) -> str | None:
    """The process that holds a lock, or None if nobody does or its holder has died."""
    spec = (cluster.api.get(LEASE, name, NAMESPACE) or {}).get("spec") or {}
    return None if not spec.get("holderIdentity") or _expired(spec) else str(spec["holderIdentity"])


class Lock:
    """A named lock. ``holder`` is the last known holder, ``transitions`` the number of changes of holder."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._api = cluster.api
        self._name = name
        self._me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._resource_version = ""
        self._duration_s = 0.0
        self.holder: str | None = None
        self.transitions = 0

    def acquire(self, duration_s: float) -> None:
        """Acquire the lock for ``duration_s`` seconds. Raises ``Conflict``, which names the holder."""
        self._duration_s = duration_s
        lease = self._api.get(LEASE, self._name, NAMESPACE)
        if lease is None:
            self._ensure_namespace()
            self._took(self._api.create(self._lease(0)))
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") not in (None, "", self._me) and not _expired(spec):
            raise self._held(spec["holderIdentity"])
        self._resource_version = lease["metadata"]["resourceVersion"]
        self._write(self._lease(int(spec.get("leaseTransitions") or 0) + 1)["spec"])

    def renew(self) -> None:
        """Renew the lock. Raises ``Conflict`` if it was lost; the caller must then stop writing."""
        self._write({"renewTime": _stamp(), "leaseDurationSeconds": self._whole_duration()})

    def create_again(self) -> None:
        """Create the Lease that others deleted while this process held it, with the same number of holders.

        Raises ``Conflict`` if another process has taken the lock meanwhile.
        """
        self._ensure_namespace()
        self._took(self._api.create(self._lease(self.transitions)))

    def release(self) -> None:
        """Release the lock if this process still holds it.

        If the request fails, the lock expires by itself.
        """
        if self.holder != self._me:
            return
        self.holder = None
        try:
            patch = {"holderIdentity": None, "leaseDurationSeconds": 1}
            self._patch(patch)
        except ClusterError:
            return

    def _write(self, spec: dict[str, Any]) -> None:
        try:
            self._took(self._patch(spec))
        except Conflict as error:
            lease = self._api.get(LEASE, self._name, NAMESPACE) or {}
            self.holder = (lease.get("spec") or {}).get("holderIdentity")
            if self.holder != self._me:
                raise self._held(self.holder or "someone else") from error
            # The response to an earlier renewal was lost: the lock is still held, at a newer resourceVersion.
            self._resource_version = lease["metadata"]["resourceVersion"]
            self._took(self._patch(spec))

    def _patch(self, spec: dict[str, Any]) -> dict[str, Any]:
        patch = {"metadata": {"resourceVersion": self._resource_version}, "spec": spec}
        return self._api.merge_patch(LEASE, self._name, NAMESPACE, patch)

    def _took(self, lease: dict[str, Any]) -> None:
        self._resource_version = lease["metadata"]["resourceVersion"]
        self.transitions = int(lease["spec"].get("leaseTransitions") or 0)
        self.holder = lease["spec"].get("holderIdentity")

    def _lease(self, transitions: int) -> dict[str, Any]:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._name, "namespace": NAMESPACE},
            "spec": {
                "holderIdentity": self._me,
                "leaseDurationSeconds": self._whole_duration(),
                "acquireTime": _stamp(),
                "renewTime": _stamp(),
                "leaseTransitions": transitions,
            },
        }

    def _whole_duration(self) -> int:
        return max(1, round(self._duration_s))

    def _ensure_namespace(self) -> None:
        if self._api.get(Kind("v1", "Namespace"), NAMESPACE) is None:
            self._api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def _held(self, holder: str) -> Conflict:
        return Conflict(
            f"{self._name} is held by {holder}.", remedy="Wait until it finishes, or stop that process."
        )


HELD_S = 30.0
RENEWED_S = 10.0


@contextmanager
def held(cluster: Cluster, name: str) -> Iterator[Callable[[], None]]:
    """Hold a lock during a ``with`` block and renew it in the background.

    Yields a function to call before each write: it raises ``Halted`` if the lock was lost, or could not be
    renewed for HELD_S seconds. Raises ``Conflict`` while another process holds the lock, and for HELD_S
    seconds after a holder was killed.
    """
    lock, over = Lock(cluster, name), threading.Event()
    lost: list[str] = []
    lock.acquire(HELD_S)
    renewed_s = [time.monotonic()]

    def keep() -> None:
        while not over.wait(RENEWED_S):
            try:
                lock.renew()
                renewed_s[0] = time.monotonic()
            except ClusterError as error:
                if isinstance(error, Conflict) or error.status == 404:
                    lost.append(error.message)
                    return

    def require() -> None:
        if lost or time.monotonic() - renewed_s[0] > HELD_S:
            why = lost[0] if lost else "The API server did not answer."
            raise Halted(f"{why} Nothing more was changed here.", remedy="Look at it, then go on.")

    keeper = threading.Thread(target=keep, name=f"lock {name}", daemon=True)
    keeper.start()
    try:
        yield require
    finally:
        over.set()
        keeper.join()
        lock.release()


def _expired(spec: dict[str, Any]) -> bool:
    renewed = datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    return datetime.now(UTC) > renewed + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
