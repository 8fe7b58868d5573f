"""Calls another service, through the sidecar, before a service answers its own request.

It propagates the trace headers (W3C Trace Context, B3 and ``x-request-id``). A mesh requires this of
applications, because a proxy cannot know which inbound request caused an outbound one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from meshkit.sandbox.workloads.client import Call, client_of_target, service_url
from meshkit.sandbox.workloads.http1 import Request

SWEEP_S = 0.05
TRACE_HEADERS = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
)


class Dependency:
    """The service at ``url``, which is called for each request whose path starts with ``prefix``.

    Raises ValueError when the URL is not valid.
    """

    def __init__(self, url: str, prefix: str, env: Mapping[str, str]) -> None:
        target = service_url("DEPENDENCY", url)
        self.prefix, self._path = prefix, target.path or "/"
        self.name = target.hostname or ""
        self._client = client_of_target(target, env, self._settle, agent="meshkit-web")
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._numbers = itertools.count()

    async def ask(self, caused_by: Request) -> int:
        """Call the dependency; return the response status, or 0 without a response in time."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        answer: asyncio.Future[int] = loop.create_future()
        self._answers[number] = answer
        headers = {name: value for name in TRACE_HEADERS if (value := caused_by.headers.get(name))}
        self._client.start(number, loop.time(), self._client.request(self._path, headers))
        try:
            return await answer
        finally:
            del self._answers[number]

    def _settle(self, call: Call, status: int, version: str) -> None:
        answer = self._answers.get(call.number)
        if answer is not None and not answer.done():
            answer.set_result(status)

    async def sweep(self) -> None:
        """Settle late calls and reload changed endpoints periodically, until cancelled."""
        while True:
            self._client.sweep()
            await asyncio.sleep(SWEEP_S)
