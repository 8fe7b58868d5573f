"""Read the logs of running pods, and pass requests and connections on to them: ``pods/log``, ``pods/proxy``
and ``pods/portforward``.
"""

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
from meshkit.sandbox.api.http import port_forward
from meshkit.sandbox.api.http.call import read_body

_FOLLOW_EVERY_S = 0.3
_MAX_TAIL_DIGITS = 9
_OF_TIME = ("sinceSeconds", "sinceTime", "timestamps")
_PROXY_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=60.0)
"""A stream may last, but not without a byte."""
_PROXY_CHUNK_BYTES = 1 << 16
_SAFE_IN_PATH = "/$&+,:;=@"  # characters that Go does not escape in a path
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
    """Interface for reading a container's log."""

    def __call__(
        self, pod: Mapping[str, Any], container: str, lines: int | None, *, previous: bool
    ) -> str | None:
        """Return the log of a container's current or previous run, or None if it has none.

        ``lines`` limits the result to the last lines; None returns all.
        """


async def _no_pods_run(pod: Mapping[str, Any], port: int) -> port_forward.Connection:
    raise ConnectionRefusedError("connection refused")


def _no_address(pod: Mapping[str, Any], port: int) -> str:
    raise ConnectionRefusedError("connection refused")


@dataclass(frozen=True)
class NodeHooks:
    """Callbacks through which the API server reaches running pods."""

    logs: LogReader
    dial: port_forward.Dialer = _no_pods_run
    address_of: Callable[[Mapping[str, Any], int], str] = _no_address
    """Returns the address ``tcp:HOST:PORT`` or ``unix:PATH`` of a pod's port. Raises OSError."""


class Pods:
    """Serve the log and proxy subresources of pods."""

    def __init__(self, node: NodeHooks) -> None:
        self._node = node

    async def log(
        self, request: web.Request, pod: Mapping[str, Any], now: Callable[[], Mapping[str, Any] | None]
    ) -> web.StreamResponse:
        """Answer ``pods/log`` with the parameters container, tailLines, previous and follow.

        Parameters that need line timestamps are rejected, because the sandbox does not store any. ``now``
        returns the current pod, or None; a log is followed until its container ends.
        """
        query = request.query
        if unsupported := [name for name in _OF_TIME if query.get(name, "false") != "false"]:
            why = f"{unsupported[0]}: the sandbox does not store timestamps of log lines; use tailLines"
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
        has_ended = False
        while not has_ended:
            await asyncio.sleep(_FOLLOW_EVERY_S)
            # Checked before reading, so that the last lines are sent.
            has_ended = _has_ended(now(), container)
            text_now = self._text(pod, container, None)
            if not text_now.startswith(written):
                break  # the container has restarted
            await response.write(text_now[len(written) :].encode())
            written = text_now
        return response

    def _text(
        self, pod: Mapping[str, Any], container: str, tail: int | None, *, previous: bool = False
    ) -> str:
        text = self._node.logs(pod, container, tail, previous=previous)
        if text is None:
            name = pod["metadata"]["name"]
            raise status.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return text

    async def forward_ports(self, request: web.Request, pod: Mapping[str, Any]) -> web.StreamResponse:
        """Answer ``pods/portforward``."""
        return await port_forward.forward(request, pod, self._node.dial)

    async def proxy(
        self, request: web.Request, pod: Mapping[str, Any], port: str, tail: str
    ) -> web.StreamResponse:
        """Forward a request to a port of the pod, and its response as it comes.

        ``tail`` is the decoded path, because some clients encode its slashes as ``%2F``, which kube-apiserver
        accepts. The address is the node agent's: the one in the pod's status may lead to any program.
        """
        if not (pod.get("status") or {}).get("podIP"):
            raise status.ApiError(
                503, "ServiceUnavailable", f'pod "{pod["metadata"]["name"]}" has no address yet'
            )
        number = _port(pod, port)
        path = quote(tail or "/", safe=_SAFE_IN_PATH)
        if request.query_string:
            path += f"?{request.rel_url.raw_query_string}"
        body = await read_body(request)
        answered = web.StreamResponse()
        try:
            connector, host = _connector(self._node.address_of(pod, number))
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=_PROXY_TIMEOUT, auto_decompress=False
                ) as session,
                session.request(
                    request.method,
                    URL(f"http://{host}{path}", encoded=True),
                    headers=_forwarded(request.headers),
                    data=body or None,
                    allow_redirects=False,
                ) as upstream,
            ):
                await _pass_on(upstream, answered, request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if answered.prepared:
                raise  # the response has begun: the connection is closed
            why = f"error trying to reach service: {error}"
            raise status.ApiError(503, "ServiceUnavailable", why) from error
        return answered


def _connector(address: str) -> tuple[aiohttp.BaseConnector, str]:
    """Return the connector to ``tcp:HOST:PORT`` or ``unix:PATH``, and the host for the URL."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return aiohttp.UnixConnector(rest), "localhost"
    return aiohttp.TCPConnector(), rest


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in headers.items()
        if key.lower() not in _HOP_BY_HOP and not key.lower().startswith("impersonate-")
    }


async def _pass_on(
    upstream: aiohttp.ClientResponse, answered: web.StreamResponse, request: web.Request
) -> None:
    """Send a pod's response to the client, each part when it comes."""
    answered.set_status(upstream.status, upstream.reason)
    for key, value in upstream.headers.items():
        if key.lower() not in _HOP_BY_HOP:
            answered.headers.add(key, value)
    answered.content_length = upstream.content_length
    await answered.prepare(request)
    async for part in upstream.content.iter_chunked(_PROXY_CHUNK_BYTES):
        await answered.write(part)
    await answered.write_eof()


def _has_ended(pod: Mapping[str, Any] | None, container: str) -> bool:
    """Return whether a container has terminated; a container that has not started has not ended."""
    if pod is None:
        return True
    pod_status = pod.get("status") or {}
    statuses = (
        *(pod_status.get("containerStatuses") or ()),
        *(pod_status.get("initContainerStatuses") or ()),
    )
    return any(entry["name"] == container and "terminated" in entry["state"] for entry in statuses)


def split_name(name: str) -> tuple[str, str]:
    """Split ``pod``, ``pod:port`` or ``http:pod:port`` into (pod, port). Raises ApiError for https."""
    parts = name.split(":")
    if len(parts) == 3:
        if parts[0] not in ("", "http"):
            raise status.bad_request(f"the sandbox's pod proxy supports http only, not {parts[0]}")
        return parts[1], parts[2]
    return parts[0], parts[1] if len(parts) == 2 else ""


def _port(pod: Mapping[str, Any], port: str) -> int:
    """Resolve a port number, a container port name, or the empty string for the first port."""
    if port.isascii() and port.isdecimal():
        number = port_forward.port_number(port)
        if number is None:
            raise status.bad_request(f"invalid port {port[:_MAX_TAIL_DIGITS]}: must be between 1 and 65535")
        return number
    for container in pod["spec"]["containers"]:
        for container_port in container.get("ports") or ():
            if port in ("", container_port.get("name")):
                return int(container_port["containerPort"])
    raise status.bad_request(f'pod "{pod["metadata"]["name"]}" has no port {port!r}')


def _container(pod: Mapping[str, Any], requested: str | None) -> str:
    """Return the name of the container whose log is requested. Raises ApiError 400 when it is ambiguous."""
    spec = pod["spec"]
    names = [container["name"] for container in spec["containers"]]
    all_names = [*names, *(container["name"] for container in spec.get("initContainers") or ())]
    name = pod["metadata"]["name"]
    if requested:
        if requested not in all_names:
            raise status.bad_request(f"container {requested} is not valid for pod {name}")
        return requested
    if len(names) > 1:
        raise status.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return str(names[0])
