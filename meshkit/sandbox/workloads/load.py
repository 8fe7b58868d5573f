"""The program of the image ``meshkit.dev/sandbox/load``, an open-loop load generator.

It sends requests at their scheduled times whether or not earlier ones were answered, and measures latencies
from the *scheduled* time. A stall of the service (or of this process) therefore appears in the latencies. A
closed-loop generator would hide it by sending fewer requests ("coordinated omission"). Failed requests are
not retried; ``client.py`` defines a missing response and the single exception.

Environment: TARGET (http://web.shop:8080/), PATHS (a JSON object from paths to weights; by
default the path of TARGET), RATE (200 requests per second), HEADERS (a JSON object, none), TIMEOUT_S (10),
HTTP_PROXY (the pod's sidecar), MESHKIT_SERVICES and POD_NAMESPACE (without a sidecar).

Control API on port 9000 (``control.py``): GET /healthz; GET or PUT /-/rate ``{"rps": 200}``; GET /-/requests
and GET /-/summary, both with ``since`` and ``until`` in Unix seconds of scheduled time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import signal
import time
from collections.abc import Mapping
from itertools import accumulate
from urllib.parse import SplitResult, parse_qs

import uvloop

from meshkit.sandbox.workloads.client import Call, Client, Settle, client_of_target, service_url
from meshkit.sandbox.workloads.control import serve_control
from meshkit.sandbox.workloads.http1 import Request, Response
from meshkit.sandbox.workloads.ledger import Ledger

CONTROL_PORT = 9000
MAX_RPS = 5_000.0
SWEEP_S = 0.05
RATE_LOOK_S = 0.1
"""The longest time until a changed rate takes effect, even at a low rate."""
PIECE = 2_000
"""The number of records to encode at once, which takes about 3 ms; requests are sent in between."""


class Load:
    """The load generator with its schedule, client, ledger and control handler."""

    def __init__(self, client_of: Mapping[str, str], rps: float) -> None:
        self.rps = check_rate(rps)
        self.ledger = Ledger()
        self._client = client_from_environment(client_of, self._settle)
        self._requests, self._weights = requests_from_environment(client_of, self._client)
        self._draw = random.Random()
        self._unix_offset_s = 0.0

    def _settle(self, call: Call, status: int, version: str) -> None:
        latency_s = asyncio.get_running_loop().time() - call.due_s  # Rounding can make it slightly negative.
        self.ledger.settle(call.number, max(0.0, latency_s) * 1000, status, version)

    async def pace(self) -> None:
        """Send requests at the rate until cancelled; a late wake-up sends all due requests at once."""
        loop = asyncio.get_running_loop()
        self._unix_offset_s = time.time() - loop.time()
        last_s = loop.time()
        while True:
            rps = self.rps
            due_s = last_s + 1 / rps if rps > 0 else math.inf
            wait_s = due_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, RATE_LOOK_S))
                if rps == 0:
                    last_s = loop.time()
                if self.rps != rps or wait_s > RATE_LOOK_S:
                    continue
            last_s = due_s
            (request,) = self._draw.choices(self._requests, cum_weights=self._weights)
            self._client.start(self.ledger.schedule(due_s + self._unix_offset_s), due_s, request)

    async def sweep(self) -> None:
        """Settle late calls and reload changed endpoints periodically, until cancelled."""
        while True:
            self._client.sweep()
            await asyncio.sleep(SWEEP_S)

    async def control(self, request: Request) -> Response:
        """Answer a request to the control API."""
        try:
            match request.path:
                case "/healthz":
                    return Response(200, b"ok", content_type="text/plain")
                case "/-/rate":
                    if request.method == "PUT":
                        self.rps = rate_from_json(request.body)
                    return Response.of_json(200, {"rps": self.rps})
                case "/-/requests":
                    body = await asyncio.to_thread(requests_json, self.ledger, self._span(request))
                    return Response(200, body)
                case "/-/summary":
                    summary = await asyncio.to_thread(self.ledger.summary, self._span(request))
                    return Response.of_json(200, summary)
        except ValueError as exc:
            return Response.of_json(400, {"error": str(exc)})
        paths = "/healthz, /-/rate, /-/requests, /-/summary"
        return Response.of_json(404, {"error": f"{request.path}: not found; the paths are {paths}"})

    def _span(self, request: Request) -> range:
        query = parse_qs(request.query)
        bounds = {"since": -math.inf, "until": math.inf}
        for name, values in query.items():
            if name not in bounds:
                raise ValueError(f"{name}: unknown parameter; the parameters are since and until")
            try:
                bounds[name] = float(values[-1])
            except ValueError:
                raise ValueError(f"{name}: {values[-1]!r} is not a time in Unix seconds") from None
        return self.ledger.span(bounds["since"], bounds["until"])


def requests_json(ledger: Ledger, numbers: range) -> bytes:
    """Return ``ledger.requests`` as JSON, encoded in pieces so that another thread can send requests."""
    columns: dict[str, list[str]] = {"scheduled_s": [], "latency_ms": [], "status": [], "version": []}
    pending = 0
    for start in range(numbers.start, numbers.stop, PIECE):
        piece = ledger.requests(range(start, min(start + PIECE, numbers.stop)))
        pending += piece["pending"]
        if piece["status"]:
            columns["scheduled_s"].append(json.dumps(piece["scheduled_s"])[1:-1])
            columns["latency_ms"].append(json.dumps(piece["latency_ms"])[1:-1])
            columns["status"].append(json.dumps(piece["status"])[1:-1])
            columns["version"].append(json.dumps(piece["version"])[1:-1])
    fields = [f'"{name}": [{", ".join(pieces)}]' for name, pieces in columns.items()]
    return ("{" + ", ".join(fields) + f', "pending": {pending}}}').encode()


def check_rate(rps: object) -> float:
    """Return the rate as a float; raise ValueError unless it is a number from 0 to ``MAX_RPS``."""
    if isinstance(rps, bool) or not isinstance(rps, int | float) or not 0 <= rps <= MAX_RPS:
        raise ValueError(f"rps: {rps!r} is not a number from 0 to {MAX_RPS:g}")
    return float(rps)


def rate_from_json(body: bytes) -> float:
    """Parse the rate from JSON such as ``{"rps": 200}``; raise ValueError if it is not valid."""
    document = json.loads(body)
    if not isinstance(document, dict) or set(document) != {"rps"}:
        raise ValueError('expected {"rps": NUMBER}')
    return check_rate(document["rps"])


def client_from_environment(env: Mapping[str, str], settle: Settle) -> Client:
    """Create the client from environment variables; raise ValueError with an invalid variable's name."""
    target = target_from_environment(env)
    return client_of_target(target, env, settle, agent="meshkit-load")


def target_from_environment(env: Mapping[str, str]) -> SplitResult:
    """Parse TARGET; raise ValueError if it is not a valid URL."""
    return service_url("TARGET", env.get("TARGET") or "http://web.shop:8080/")


def requests_from_environment(env: Mapping[str, str], client: Client) -> tuple[list[bytes], list[float]]:
    """Return the requests from the environment and their cumulative weights; may raise ValueError."""
    headers = json.loads(env.get("HEADERS") or "{}")
    if not isinstance(headers, dict):
        raise ValueError("HEADERS: not a JSON object")
    target = target_from_environment(env)
    default_path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    paths = json.loads(env.get("PATHS") or "null") or {default_path: 1}
    if not isinstance(paths, dict) or not all(_is_weight(weight) for weight in paths.values()):
        raise ValueError("PATHS: not a JSON object from paths to weights above 0")
    if not all(path.startswith("/") for path in paths):
        raise ValueError("PATHS: each path must start with /")
    texts = {str(name): str(value) for name, value in headers.items()}
    return [client.request(path, texts) for path in paths], list(accumulate(paths.values()))


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


async def main() -> None:
    """Generate load until SIGTERM."""
    load = Load(os.environ, float(os.environ.get("RATE") or 200))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    control = await serve_control(load.control, CONTROL_PORT)
    work = [asyncio.create_task(load.pace()), asyncio.create_task(load.sweep())]
    ended = asyncio.create_task(stop.wait())
    await asyncio.wait([*work, ended], return_when=asyncio.FIRST_COMPLETED)
    for task in work:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(*(server.drain(1.0) for server in control))


if __name__ == "__main__":
    uvloop.run(main())
