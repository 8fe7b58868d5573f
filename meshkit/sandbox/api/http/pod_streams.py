"""What the API server fetches from a running pod: its log, and answers to HTTP requests (``pods/proxy``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from aiohttp import web
from yarl import URL

from meshkit.sandbox.api import status

_FOLLOW_EVERY_S = 0.3
_MAX_TAIL_DIGITS = 9
_MAX_PORT_DIGITS = 5
_OF_TIME = ("sinceSeconds", "sinceTime", "timestamps")
_PROXY_TIMEOUT_S = 60.0
_SAFE_IN_PATH = "/$&+,:;=@"  # as Go writes a path
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "host",
    "authorization",
    "content-length",
}


class LogReader(Protocol):
    """How a container's log is read."""

    def __call__(
        self, pod: Mapping[str, Any], container: str, lines: int | None, *, previous: bool
    ) -> str | None:
        """The last lines (None: all) of its present life or of the one before; None where it had none."""


@dataclass(frozen=True)
class NodeHooks:
    """How the API server reaches what runs."""

    logs: LogReader


class Pods:
    """The running side of pods."""

    def __init__(self, node: NodeHooks) -> None:
        self._node = node
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()

    async def log(
        self, request: web.Request, pod: Mapping[str, Any], now: Callable[[], Mapping[str, Any] | None]
    ) -> web.StreamResponse:
        """``pods/log``: container, tailLines, previous and follow are honoured; what asks for the time of a
        line is refused, as the sandbox keeps none.

        ``now`` gives the pod as it is, or None: a log is followed until its container ends.
        """
        query = request.query
        if asked := [name for name in _OF_TIME if query.get(name, "false") != "false"]:
            why = f"{asked[0]}: the sandbox does not keep the time of a log line; use tailLines"
            raise status.ApiError(501, "NotImplemented", why)
        container = _container(pod, query.get("container"))
        previous = query.get("previous") == "true"
        asked_lines = query.get("tailLines", "")[:_MAX_TAIL_DIGITS]
        tail = int(asked_lines) if asked_lines.isdecimal() else None
        if previous or query.get("follow") != "true":
            text = self._text(pod, container, tail, previous=previous)
            return web.Response(text=text, content_type="text/plain")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        written = self._text(pod, container, None)
        lines = written.splitlines(keepends=True)
        await response.write("".join(lines if tail is None else lines[max(0, len(lines) - tail) :]).encode())
        over = False
        while not over:
            await asyncio.sleep(_FOLLOW_EVERY_S)
            over = _has_ended(now(), container)  # asked first: what was written until then is still sent
            whole = self._text(pod, container, None)
            if not whole.startswith(written):
                break  # the container was started again: this life of it is over
            await response.write(whole[len(written) :].encode())
            written = whole
        return response

    def _text(
        self, pod: Mapping[str, Any], container: str, tail: int | None, *, previous: bool = False
    ) -> str:
        found = self._node.logs(pod, container, tail, previous=previous)
        if found is None:
            name = pod["metadata"]["name"]
            raise status.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return found

    async def proxy(
        self, request: web.Request, pod: Mapping[str, Any], port: str, tail: str
    ) -> web.StreamResponse:
        """Pass a request on to http://POD_IP:PORT and its answer back.

        ``tail`` is the path, decoded: some clients write its slashes as ``%2F``, and any API server takes
        them for slashes.
        """
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise status.ApiError(
                503, "ServiceUnavailable", f'pod "{pod["metadata"]["name"]}" has no address yet'
            )
        url = f"http://{address}:{_port(pod, port)}{quote(tail or '/', safe=_SAFE_IN_PATH)}"
        if request.query_string:
            url += f"?{request.rel_url.raw_query_string}"
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_PROXY_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in _HOP_BY_HOP and not key.lower().startswith("impersonate-")
        }
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=await request.read() or None,
                allow_redirects=False,
            ) as answer:
                passed = {
                    key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP
                }
                return web.Response(status=answer.status, headers=passed, body=await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = f"error trying to reach service: {error}"
            raise status.ApiError(503, "ServiceUnavailable", why) from error


def _has_ended(pod: Mapping[str, Any] | None, container: str) -> bool:
    """Whether a container runs no more; one that has not begun has not ended."""
    if pod is None:
        return True
    found = pod.get("status") or {}
    statuses = (*(found.get("containerStatuses") or ()), *(found.get("initContainerStatuses") or ()))
    return any(each["name"] == container and "terminated" in each["state"] for each in statuses)


def split_name(name: str) -> tuple[str, str]:
    """``pod``, ``pod:port`` or ``http:pod:port`` -> (pod, port). Raises ApiError for https."""
    parts = name.split(":")
    if len(parts) == 3:
        if parts[0] not in ("", "http"):
            raise status.bad_request(f"the sandbox's pod proxy speaks http, not {parts[0]}")
        return parts[1], parts[2]
    return parts[0], parts[1] if len(parts) == 2 else ""


def _port(pod: Mapping[str, Any], port: str) -> int:
    """A number, the name of a container port, or nothing for the first one."""
    if port.isascii() and port.isdecimal():
        if len(port) > _MAX_PORT_DIGITS or not 0 < int(port) < 65536:
            raise status.bad_request(f"invalid port {port[:_MAX_TAIL_DIGITS]}: it is not between 1 and 65535")
        return int(port)
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or ():
            if port in ("", each.get("name")):
                return int(each["containerPort"])
    raise status.bad_request(f'pod "{pod["metadata"]["name"]}" has no port {port!r}')


def _container(pod: Mapping[str, Any], asked: str | None) -> str:
    """The container whose log is meant. Raises ApiError 400 when that is unclear."""
    spec = pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    every = [*names, *(each["name"] for each in spec.get("initContainers") or ())]
    name = pod["metadata"]["name"]
    if asked:
        if asked not in every:
            raise status.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) > 1:
        raise status.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return str(names[0])
