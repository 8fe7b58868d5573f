"""``meshkit judge serve``: requests as Argo Rollouts and Flagger send them, and their answers."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from meshkit.errors import BadInput, NoData
from meshkit.operations.judge.serve import serving
from meshkit.operations.judge.server import HOOKS, MOST_BODY, JudgeServer
from meshkit.operations.judge.session import Session
from tests.unit.release.stage import BAD, Stage


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


@pytest.fixture(scope="module")
def before() -> Tool:
    """Stable has been measured, the canary has no share yet."""
    tool = Tool()
    tool.passes(8)
    return tool


@pytest.fixture(scope="module")
def undecided() -> Tool:
    tool = Tool()
    tool.passes(8)
    tool.passes(2, 50)
    return tool


@pytest.fixture(scope="module")
def good() -> Tool:
    tool = Tool()
    tool.passes(8)
    tool.passes(30, 50)
    return tool


@pytest.fixture(scope="module")
def bad() -> Tool:
    tool = Tool(canary_behaviour=BAD)
    tool.passes(8)
    tool.passes(8, 10)
    return tool


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_argo_reads_success_failure_and_inconclusive(
    method: str, before: Tool, undecided: Tool, good: Tool, bad: Tool
) -> None:
    results = [tool.argo(method)["result"] for tool in (before, undecided, good, bad)]
    assert results == ["inconclusive", "inconclusive", "success", "failure"]


def test_argo_gets_the_verdict_with_its_reasons(bad: Tool) -> None:
    answer = bad.argo()
    assert answer["release"] == "shop/web-v2"
    assert answer["canary_percent"] == 10
    assert answer["summary"] == bad.session.judgement.promotion.summary
    assert answer["verdict"]["action"] == "rollback"
    assert answer["verdict"]["harm"] >= answer["verdict"]["harm_limit"]


def test_a_step_may_pass_before_the_margins_are_shown() -> None:
    tool = Tool()
    tool.passes(8)
    tool.passes(8, 10)
    answer = tool.argo()
    assert (answer["step_result"], answer["result"]) == ("success", "inconclusive")
    assert tool.flagger("confirm-traffic-increase")[0] == 200
    assert tool.flagger("confirm-promotion")[0] == 409


@pytest.mark.parametrize(
    ("hook", "statuses"),
    [
        ("confirm-rollout", (200, 200, 200, 409)),
        ("rollout", (200, 200, 200, 409)),
        ("confirm-traffic-increase", (200, 409, 200, 409)),
        ("confirm-promotion", (409, 409, 200, 409)),
        ("rollback", (409, 409, 409, 200)),
    ],
)
def test_flagger_goes_on_only_with_a_reason(
    hook: str, statuses: tuple[int, ...], before: Tool, undecided: Tool, good: Tool, bad: Tool
) -> None:
    answers = [tool.flagger(hook) for tool in (before, undecided, good, bad)]
    assert tuple(status for status, _ in answers) == statuses
    assert all(why for _, why in answers)


def test_flagger_waits_with_a_rollout_until_stable_is_measured() -> None:
    tool = Tool(baseline_s=100)
    tool.passes(3)
    assert tool.flagger("confirm-rollout") == (409, "Measuring v1. v2 gets no traffic yet.")
    tool.passes(30)
    assert tool.flagger("confirm-rollout")[0] == 200


def test_what_cannot_be_measured_is_inconclusive_and_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    tool.passes(8)
    tool.passes(30, 50)

    def nothing(*_: object) -> None:
        raise NoData("No sidecar answered.", remedy="")

    monkeypatch.setattr(tool.stage.observer, "counters", nothing)
    tool.passes(1)
    answer = tool.argo()
    assert answer["result"] == "inconclusive"
    assert answer["summary"].startswith("Held: No sidecar answered")
    assert tool.flagger("confirm-promotion")[0] == 409
    assert tool.flagger("rollout")[0] == 200


def test_a_session_that_hangs_decides_nothing(good: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(good.session.judgement, taken_s=good.stage.clock.now() - 66)
    assert good.argo()["result"] == "success"
    monkeypatch.setattr(good.session, "judgement", old)
    answer = good.argo()
    assert answer["result"] == "inconclusive"
    assert answer["summary"].startswith("Held: nothing was measured in the last 66 s.")


def test_a_route_that_does_not_exist_yet_holds_until_it_does() -> None:
    tool = Tool()
    route = tool.stage.fake.object()
    key = (route["kind"], "shop", route["metadata"]["name"])
    del tool.stage.fake.api.objects[key]
    tool.passes(2)
    assert tool.argo()["summary"].startswith("Held:")
    tool.stage.fake.api.objects[key] = route
    tool.passes(8)
    assert tool.argo()["measured"]


def test_nothing_in_the_cluster_is_written(good: Tool) -> None:
    written = [op for ops in good.stage.fake.api.patches for op in ops if op["op"] != "test"]
    assert len(written) == 2, "the weights that the other tool set"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/argo/shop/other", None, 404, "No release shop/other is judged here."),
        ("GET", "/argo/shop", None, 404, "There is nothing at /argo/shop."),
        ("GET", "/", None, 404, "There is nothing at /."),
        ("GET", "/flagger/rollout", None, 405, "Flagger's webhooks are POST requests."),
        ("POST", "/flagger/event", b"{}", 404, "There is no webhook 'event'."),
        ("POST", "/flagger/rollout", b"[]", 400, "The body is no JSON object."),
        ("POST", "/flagger/rollout", b"\xff{", 400, "The body is no JSON object."),
        ("POST", "/flagger/rollout", b"[" * 60_000, 400, "The body is no JSON object."),
        ("POST", "/flagger/rollout", b"{}", 400, "name or namespace is missing."),
        ("POST", "/flagger/rollout", b'{"metadata": 3}', 400, "metadata is no object."),
        ("POST", "/flagger/rollout", b'{"name": 1, "namespace": []}', 400, "name or namespace is missing."),
        ("POST", "/flagger/rollout", b" " * (MOST_BODY + 1), 413, "The body has more than 65536 bytes."),
    ],
)
def test_other_requests_are_refused_with_a_remedy(
    before: Tool, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    with before.asked() as server:
        found, answer = ask(server, method, path, body)
    assert (found, answer["error"]) == (status, said)
    assert answer["remedy"]


@pytest.mark.parametrize("length", ["", "-1", "1e3", "\u0663", "9" * 5000])
def test_a_length_that_is_none_is_refused(before: Tool, length: str) -> None:
    with before.asked() as server, socket.create_connection(server.server_address[:2], timeout=10) as raw:
        head = f"POST /flagger/rollout HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        raw.sendall(head.encode("utf-8"))
        raw.shutdown(socket.SHUT_WR)
        assert raw.makefile("rb").readline().split()[1] in (b"411", b"413")


def test_a_canary_of_the_release_s_own_name_needs_no_metadata(before: Tool) -> None:
    payload = {"name": "web-v2", "namespace": "shop", "phase": "Initialized", "checksum": "5d"}
    with before.asked() as server:
        status, _ = ask(server, "POST", "/flagger/confirm-rollout", json.dumps(payload).encode())
    assert status == 200


def test_serving_measures_and_answers_until_the_block_ends() -> None:
    stage = Stage(look_s=0.05)
    with serving(
        [stage.release], stage.cluster, port=0, mesh=stage.mesh, observer=stage.observer, clock=stage.clock
    ) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert ask(server, "GET", "/healthz") == (200, {"ok": True})
        port = server.server_address[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_serving_needs_distinct_releases_and_a_free_port() -> None:
    stage = Stage()
    common: dict[str, Any] = {"mesh": stage.mesh, "observer": stage.observer, "clock": stage.clock}
    with pytest.raises(BadInput, match="no release"), serving([], stage.cluster, **common):
        pass
    with pytest.raises(BadInput, match="twice"), serving([stage.release] * 2, stage.cluster, **common):
        pass
    with (
        JudgeServer("127.0.0.1", 0, {}) as taken,
        pytest.raises(BadInput, match="cannot listen"),
        serving([stage.release], stage.cluster, port=taken.server_address[1], **common),
    ):
        pass


def test_every_hook_is_answered(before: Tool) -> None:
    assert {before.flagger(hook)[0] for hook in HOOKS} <= {200, 409}
