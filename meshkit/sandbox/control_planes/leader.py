"""Leader election among the replicas of a control plane with a ``coordination.k8s.io`` Lease.

All replicas run on one machine, so ``renewTime`` is compared with the local clock. A replica that ends
releases the Lease, and another one acquires it within ``POLL_S``; a replica that is killed is replaced when
its Lease expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError

_LOG = logging.getLogger("leader")
DURATION_S = 4
POLL_S = 1.0
_RESOURCE = "leases.coordination.k8s.io"
_MICRO = "%Y-%m-%dT%H:%M:%S.%fZ"


class Leader:
    """A candidate for one Lease of ``duration_s`` seconds, with ``identity`` (the pod's name).

    It renews the Lease four times in this time.
    """

    def __init__(
        self, api: ApiClient, *, namespace: str, lease: str, identity: str, duration_s: int = DURATION_S
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._lease = lease
        self._identity = identity
        self._duration_s = duration_s

    async def lead(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run ``work`` while this replica is the leader, until cancelled."""
        while True:
            if not await self._acquire_or_renew():
                await asyncio.sleep(POLL_S)
                continue
            _LOG.info("%s became the leader by lease %s", self._identity, self._lease)
            task = asyncio.ensure_future(work())
            try:
                await self._renew_while(task)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await self._release()
            _LOG.warning("%s is no longer the leader by lease %s", self._identity, self._lease)

    async def _renew_while(self, task: asyncio.Future[object]) -> None:
        loop = asyncio.get_running_loop()
        good_until = loop.time() + self._duration_s
        while loop.time() < good_until:
            done, _ = await asyncio.wait([task], timeout=self._duration_s / 4)
            if done:
                if error := task.exception():
                    _LOG.error("the leader's work failed and will be restarted", exc_info=error)
                return
            if await self._acquire_or_renew():
                good_until = loop.time() + self._duration_s

    async def _acquire_or_renew(self) -> bool:
        """Acquire or renew the Lease; return False if that is impossible."""
        try:
            lease = await self._api.get(_RESOURCE, self._lease, self._namespace)
            now = dt.datetime.now(dt.UTC)
            if lease is None:
                await self._api.create(_RESOURCE, self._lease_object({}, now))
                return True
            spec = lease.get("spec") or {}
            holder = spec.get("holderIdentity")
            if holder not in (None, "", self._identity) and now < _expiry(spec):
                return False
            await self._api.update(_RESOURCE, {**lease, "spec": self._lease_object(spec, now)["spec"]})
            return True
        except ApiError as refusal:
            if refusal.status not in (404, 409):
                _LOG.warning("lease %s: %s", self._lease, refusal)
            return False
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _lease_object(self, spec: dict[str, Any], now: dt.datetime) -> dict[str, Any]:
        taken = spec.get("holderIdentity") != self._identity
        stamp = now.strftime(_MICRO)
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._lease, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._duration_s,
                "acquireTime": stamp if taken else spec.get("acquireTime", stamp),
                "renewTime": stamp,
                "leaseTransitions": int(spec.get("leaseTransitions", 0)) + (1 if taken and spec else 0),
            },
        }

    async def _release(self) -> None:
        with contextlib.suppress(ApiError, aiohttp.ClientError, OSError, TimeoutError):
            lease = await self._api.get(_RESOURCE, self._lease, self._namespace)
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._api.update(_RESOURCE, lease)


def _expiry(spec: dict[str, Any]) -> dt.datetime:
    try:
        renewed = dt.datetime.strptime(spec["renewTime"], _MICRO).replace(tzinfo=dt.UTC)
    except (KeyError, TypeError, ValueError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return renewed + dt.timedelta(seconds=int(spec.get("leaseDurationSeconds") or DURATION_S))
