"""A rollout that another tool runs, asked for its verdict by HTTP as Argo Rollouts and Flagger ask."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from meshkit.operations.judge.server import JudgeServer
from meshkit.operations.judge.session import Session
from tests.unit.release.stage import Stage


class Tool:
    """A rollout that another tool runs, a session that measures it, and a server that answers for it."""

    def __init__(self, **fields: Any) -> None:
        self.stage = Stage(steps=(10, 50, 100), look_s=5, deadline_s=60, **fields)
        stage = self.stage
        self.session = Session(
            stage.release, stage.cluster, mesh=stage.mesh, observer=stage.observer, clock=stage.clock
        )

    def passes(self, looks: int, percent: int | None = None) -> None:
        """Set the weight, and let so many looks pass."""
        if percent is not None:
            self.stage.fake.set_weights(100 - percent, percent)
        for _ in range(looks):
            self.session.look()
            self.stage.clock.sleep(5)

    @contextmanager
    def asked(self) -> Iterator[JudgeServer]:
        release = self.stage.release
        server = JudgeServer("127.0.0.1", 0, {(release.namespace, release.name): self.session.latest})
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def argo(self, method: str = "GET") -> dict[str, Any]:
        """What the web metric provider reads; a body is sent by POST only."""
        with self.asked() as server:
            status, answer = ask(server, method, "/argo/shop/web-v2", b"{}" if method == "POST" else None)
        assert status == 200
        return answer

    def flagger(self, hook: str) -> tuple[int, str]:
        """The status and the reason that a webhook of a Canary gets."""
        payload = {
            "name": "web",
            "namespace": "shop",
            "phase": "Progressing",
            "checksum": "85d557f47b",
            "metadata": {"release": "web-v2"},
        }
        with self.asked() as server:
            status, answer = ask(server, "POST", f"/flagger/{hook}", json.dumps(payload).encode())
        return status, answer["why"]


def ask(
    server: JudgeServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    sent = {"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1", **headers}
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
