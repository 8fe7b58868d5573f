"""A proxy in front of an API server that counts the bytes of requests that write, and of what they stored."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from meshkit.sandbox.home import SandboxHome

OF_ONE_HOP = ("content-length", "transfer-encoding", "connection", "date", "server")
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Traffic:
    """Counts since the start; ``stored_bytes`` are the objects with which the server answers writes."""

    requests: int = 0
    writes: int = 0
    written_bytes: int = 0
    stored_bytes: int = 0
    read_bytes: int = 0


@contextmanager
def counting_proxy(home: SandboxHome, port: int) -> Iterator[tuple[int, Traffic]]:
    """Forward to the API server of a sandbox home; yield the port of the proxy and its counts."""
    traffic, lock = Traffic(), threading.Lock()
    trusted = ssl.create_default_context(cafile=str(home.ca_certificate))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each answer waits for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.behind = http.client.HTTPSConnection("127.0.0.1", port, context=trusted)

        def finish(self) -> None:
            self.behind.close()
            super().finish()

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            self.behind.request(self.command, self.path, body or None, headers)
            answer = self.behind.getresponse()
            text = answer.read()
            with lock:
                traffic.requests += 1
                if self.command in WRITES:
                    traffic.writes += 1
                    traffic.written_bytes += len(self.requestline) + len(bytes(self.headers)) + len(body)
                    traffic.stored_bytes += len(text)
                else:
                    traffic.read_bytes += len(text)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_ONE_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.server_certificate, home.server_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, traffic
    finally:
        server.shutdown()
        server.server_close()
