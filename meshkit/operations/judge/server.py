"""Answer Argo Rollouts' web metric provider and Flagger's webhooks over HTTP with the verdict of a release.

    GET or POST  /argo/NAMESPACE/NAME   the verdict as JSON
    POST         /flagger/HOOK          200: go on, 409: do not; the release is named in the body
    GET          /healthz               200 as long as the server runs

Everything else is refused with a JSON object of ``error`` and ``remedy``. The server never writes to the
cluster, and a request cannot make it measure anything that it was not started for.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from meshkit.errors import BadInput
from meshkit.operations.judge.answers import HOOKS, argo, flagger
from meshkit.operations.judge.session import Judgement

MOST_BODY = 64 * 1024
"""Bytes of a request's body; a webhook's payload has a few hundred."""
MOST_AT_ONCE = 32
"""Requests that are answered at the same time; more are closed."""
REQUEST_TIMEOUT_S = 10.0

Judgements = Mapping[tuple[str, str], Callable[[], Judgement]]
"""Namespace and name of each release -> its latest judgement."""


class _RefusedRequest(Exception):
    def __init__(self, status: int, error: str, remedy: str) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy = status, error, remedy


class JudgeServer(ThreadingHTTPServer):
    """The server; it is bound when it is made, and ``serve_forever`` answers until ``shutdown``.

    Raises ``BadInput`` if the address cannot be bound.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, judgements: Judgements) -> None:
        self.judgements = judgements
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as problem:
            raise BadInput(
                "--port", f"cannot listen on {host}:{port}: {problem}.", remedy="Choose another --port."
            ) from problem

    @property
    def url(self) -> str:
        """Where the server listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a request in a thread of its own, or close it if too many are being answered."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away, and print the traceback of anything else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server: JudgeServer
    server_version, sys_version = "meshkit", ""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        """Log nothing: what decides is in the answers."""

    def _answer(self, answer: Callable[[list[str]], tuple[int, dict[str, Any]]]) -> None:
        try:
            status, body = answer(urlsplit(self.path).path.strip("/").split("/"))
        except _RefusedRequest as refused:
            status, body = refused.status, {"error": refused.error, "remedy": refused.remedy}
        text = json.dumps(body, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text)

    def _get(self, path: list[str]) -> tuple[int, dict[str, Any]]:
        if path == ["healthz"]:
            return 200, {"ok": True}
        if path[0] == "flagger":
            raise _RefusedRequest(405, "Flagger's webhooks are POST requests.", "Send a POST request.")
        return self._argo(path)

    def _post(self, path: list[str]) -> tuple[int, dict[str, Any]]:
        body = self._body()
        if path[0] != "flagger":
            return self._argo(path)
        if len(path) != 2 or path[1] not in HOOKS:
            remedy = f"The URL ends with the webhook's type: {', '.join(HOOKS)}."
            raise _RefusedRequest(404, f"There is no webhook {'/'.join(path[1:])!r}.", remedy)
        goes_on, why = flagger(path[1], self._named(_payload(body)))
        return (200 if goes_on else 409), {"goes_on": goes_on, "why": why}

    def _argo(self, path: list[str]) -> tuple[int, dict[str, Any]]:
        if len(path) != 3 or path[0] != "argo":
            remedy = "Ask for /argo/NAMESPACE/NAME, or send a webhook to /flagger/TYPE."
            raise _RefusedRequest(404, f"There is nothing at /{'/'.join(path)}.", remedy)
        return 200, argo(self._judgement(path[1], path[2]))

    def _named(self, payload: Mapping[str, Any]) -> Judgement:
        """The judgement of the release that a payload of Flagger names."""
        metadata = payload.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise _RefusedRequest(400, "metadata is no object.", "Send Flagger's own payload.")
        name, namespace = metadata.get("release", payload.get("name")), payload.get("namespace")
        if not (isinstance(name, str) and isinstance(namespace, str)):
            raise _RefusedRequest(400, "name or namespace is missing.", "Send Flagger's own payload.")
        return self._judgement(namespace, name)

    def _judgement(self, namespace: str, name: str) -> Judgement:
        found = self.server.judgements.get((namespace, name))
        if found is None:
            known = ", ".join(sorted("/".join(each) for each in self.server.judgements))
            remedy = f"This server judges {known}; name another in a file for -f, or metadata.release."
            raise _RefusedRequest(404, f"No release {namespace}/{name} is judged here.", remedy)
        return found()

    def _body(self) -> bytes:
        """The body of a request. It is read before the answer, so that the client sees the answer."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            raise _RefusedRequest(411, "The request has no Content-Length.", "Send one.")
        if len(length) > len(str(MOST_BODY)) or int(length) > MOST_BODY:
            self.rfile.read(MOST_BODY)
            raise _RefusedRequest(413, f"The body has more than {MOST_BODY} bytes.", "Send a shorter one.")
        return self.rfile.read(int(length))


def _payload(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise _RefusedRequest(400, "The body is no JSON object.", "Send Flagger's own payload.")
    return payload
