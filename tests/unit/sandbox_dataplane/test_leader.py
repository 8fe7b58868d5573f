"""One leader at a time, and another when it goes."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from meshkit.sandbox.control_planes.api_client import ApiError
from meshkit.sandbox.control_planes.leader import Leader


class OneLease:
    """An API server that knows one Lease and its resourceVersion."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0

    async def get(self, resource: str, name: str, namespace: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return copy.deepcopy(self.lease)

    async def create(self, resource: str, item: dict[str, Any]) -> None:
        if self.lease is not None:
            raise ApiError(409, "exists")
        self._store(item)

    async def update(self, resource: str, item: dict[str, Any]) -> None:
        if item["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "has changed")
        self._store(item)

    def _store(self, item: dict[str, Any]) -> None:
        self.version += 1
        self.lease = copy.deepcopy(item)
        self.lease["metadata"]["resourceVersion"] = str(self.version)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)


def test_one_leads_and_the_other_takes_over_when_it_ends() -> None:
    async def body() -> None:
        api, leading = OneLease(), []

        def candidate(name: str) -> asyncio.Task[None]:
            async def work() -> None:
                leading.append(name)
                try:
                    await asyncio.Event().wait()
                finally:
                    leading.remove(name)

            leader = Leader(api, namespace="n", lease="l", identity=name)  # type: ignore[arg-type]
            return asyncio.create_task(leader.lead(work))

        tasks = {name: candidate(name) for name in ("a", "b")}
        await until(lambda: bool(leading))
        await asyncio.sleep(0.1)
        (first,) = leading
        tasks.pop(first).cancel()
        (other,) = tasks
        await until(lambda: leading == [other])
        assert api.lease
        assert api.lease["spec"]["leaseTransitions"] == 1
        tasks[other].cancel()
        await until(lambda: api.lease is not None and api.lease["spec"]["holderIdentity"] == "")

    asyncio.run(body())
