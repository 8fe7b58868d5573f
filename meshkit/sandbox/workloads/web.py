"""The program of the image ``meshkit.dev/sandbox/web``, a service with adjustable latency and errors.

Port 8080 answers any path with 200 or 500; port 9000 is the control API (``control.py``). The latency is
lognormal, the usual distribution of service times: ``latency_ms`` is its median and ``sigma`` the standard
deviation of its logarithm. Errors are returned immediately, like those of a service that fails before its
work. With a dependency, requests for its paths also wait for the dependency, and their status is 502 when it
fails.

Environment: VERSION (v1), LATENCY_MS (20), LATENCY_SIGMA (0.25), ERROR_PERCENT (0),
DEPENDENCY (a URL, none), DEPENDENCY_PATHS (the prefix of paths that call it, /), and POD_NAME,
MESHKIT_LISTEN, MESHKIT_CONTROL, HTTP_PROXY, MESHKIT_SERVICES, POD_NAMESPACE.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import uvloop

from meshkit.sandbox.workloads.control import serve_control
from meshkit.sandbox.workloads.dependency import Dependency
from meshkit.sandbox.workloads.http1 import HttpServer, Request, Response, listen_address

DATA_PORT = 8080
CONTROL_PORT = 9000
DRAIN_S = 10.0
UNASKED_S = 0.8
"""After SIGTERM, connections are accepted until no request came for this long: on a busy machine, a proxy
may learn of the pod's end later than the pod. Shorter than the period of a probe.
"""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The latency and error settings of the service.

    ``latency_ms`` is the median latency, ``sigma`` the standard deviation of its logarithm, and
    ``error_percent`` the percentage of responses with status 500.
    """

    latency_ms: float = 20.0
    sigma: float = 0.25
    error_percent: float = 0.0

    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "latency_ms": (0.0, 60_000.0),
        "sigma": (0.0, 3.0),
        "error_percent": (0.0, 100.0),
    }

    def changed(self, fields: object) -> Behaviour:
        """Return a copy with ``fields`` replaced; raise ValueError with the name of an invalid field."""
        if not isinstance(fields, Mapping):
            raise ValueError("behaviour: expected a JSON object")
        for name, value in fields.items():
            if name not in self.LIMITS:
                raise ValueError(f"{name}: unknown field; the fields are {', '.join(self.LIMITS)}")
            low, high = self.LIMITS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name}: {value!r} is not a number from {low:g} to {high:g}")
        return replace(self, **{name: float(value) for name, value in fields.items()})

    def fails(self, draw: random.Random) -> bool:
        """Draw whether a request is answered with 500."""
        return self.error_percent > 0 and draw.random() * 100 < self.error_percent

    def delay_s(self, draw: random.Random) -> float:
        """Draw the latency in seconds: the median times the exponential of a normal variable."""
        return self.latency_ms / 1000 * math.exp(self.sigma * draw.gauss(0.0, 1.0))


class Web:
    """The service, with its data and control handlers."""

    def __init__(
        self, version: str, pod: str, behaviour: Behaviour, dependency: Dependency | None = None
    ) -> None:
        self.version, self.pod, self.behaviour, self.dependency = version, pod, behaviour, dependency
        self._initial = behaviour
        self._draw = random.Random()
        self._headers = (("x-version", version), ("x-pod", pod))

    async def data(self, request: Request) -> Response:
        """Answer any path with 200 after the latency, 500 at once, or 502 if the dependency fails."""
        if self.behaviour.fails(self._draw):
            return Response.of_json(500, {"version": self.version, "pod": self.pod}, self._headers)
        needed = self.dependency
        if needed is not None and request.path.startswith(needed.prefix):
            status = await needed.ask(request)
            if status == 0 or status >= 400:
                error = f"{needed.name} answered {status}" if status else f"{needed.name} did not answer"
                failure = {"version": self.version, "pod": self.pod, "error": error}
                return Response.of_json(502, failure, self._headers)
        await asyncio.sleep(self.behaviour.delay_s(self._draw))
        answer = {"version": self.version, "pod": self.pod, "path": request.path}
        return Response.of_json(200, answer, self._headers)

    async def control(self, request: Request) -> Response:
        """Answer a request to the control API.

        The paths are ``/healthz``, ``/-/behaviour`` (GET or PUT), and ``/-/restore`` (PUT), which restores
        the initial behaviour.
        """
        if request.path == "/healthz":
            return Response(200, b"ok", content_type="text/plain")
        if request.path not in ("/-/behaviour", "/-/restore"):
            paths = "/healthz, /-/behaviour and /-/restore"
            return Response.of_json(404, {"error": f"{request.path}: not found; the paths are {paths}"})
        if request.method == "PUT" and request.path == "/-/restore":
            self.behaviour = self._initial
        elif request.method == "PUT":
            try:
                self.behaviour = self.behaviour.changed(json.loads(request.body))
            except ValueError as exc:
                return Response.of_json(400, {"error": str(exc)})
        return Response.of_json(200, asdict(self.behaviour))


def from_environment(env: Mapping[str, str]) -> Web:
    """Create the service from environment variables; raise ValueError with an invalid variable's name."""
    names = {"latency_ms": "LATENCY_MS", "sigma": "LATENCY_SIGMA", "error_percent": "ERROR_PERCENT"}
    fields: dict[str, float] = {}
    for field, variable in names.items():
        if env.get(variable):
            try:
                fields[field] = float(env[variable])
            except ValueError:
                raise ValueError(f"{variable}: {env[variable]!r} is not a number") from None
    url = env.get("DEPENDENCY")
    dependency = Dependency(url, env.get("DEPENDENCY_PATHS") or "/", env) if url else None
    return Web(env.get("VERSION") or "v1", env.get("POD_NAME", ""), Behaviour().changed(fields), dependency)


async def main() -> None:
    """Serve until SIGTERM, then drain."""
    web = from_environment(os.environ)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    data = HttpServer(web.data)
    await data.listen(listen_address(DATA_PORT))
    control = await serve_control(web.control, CONTROL_PORT)
    sweep = asyncio.create_task(web.dependency.sweep()) if web.dependency else None
    await stop.wait()
    await data.drain(DRAIN_S, unasked_s=UNASKED_S)
    await asyncio.gather(*(server.drain(0.0) for server in control))
    if sweep is not None:
        sweep.cancel()


if __name__ == "__main__":
    uvloop.run(main())
