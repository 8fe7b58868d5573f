"""A webhook on this machine: it keeps what it gets, and answers as a test says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.unit.release.stage import Stage

PATH = "s3cr3t"


class Hook(HTTPServer):
    """Answers every request with the next of its answers, the last one for ever."""

    answers: list[tuple[int, str]]
    bodies: list[dict[str, Any]]

    def secret_in(self, stage: Stage) -> None:
        """Create the Secret ``hook`` with the address."""
        address = base64.b64encode(f"http://127.0.0.1:{self.server_port}/{PATH}".encode()).decode()
        meta = {"name": "hook", "namespace": "shop"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"url": address}}
        stage.fake.api.create(secret)


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, text = self.server.answers[0]
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@contextmanager
def serving(*answers: tuple[int, str]) -> Iterator[Hook]:
    """Serve on a free port for a ``with`` block."""
    server = Hook(("127.0.0.1", 0), _Handler)
    server.answers, server.bodies = list(answers), []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
