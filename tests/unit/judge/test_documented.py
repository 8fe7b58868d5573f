"""The AnalysisTemplates and the Canary in the guide ask what the server answers, and read it as meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from meshkit.operations.judge.server import HOOKS
from tests.unit.judge.tool import Tool, ask
from tests.unit.release.stage import BAD
from tools.docs import pages

PAGE = pages.DOCS / "howto" / "rollouts.md"


def documents() -> Iterator[dict[str, Any]]:
    for block in pages.blocks(PAGE):
        if block.language == "yaml":
            yield from yaml.safe_load_all(block.text)


METRICS = {
    metric["name"]: metric
    for document in documents()
    if document.get("kind") == "AnalysisTemplate"
    for metric in document["spec"]["metrics"]
}
WEBHOOKS = [hook for document in documents() for hook in document.get("analysis", {}).get("webhooks", ())]


def phase(metric: dict[str, Any], answer: dict[str, Any]) -> str:
    """What Argo Rollouts makes of an answer: the conditions here compare ``result`` with one word."""
    (path,) = re.findall(r"^\{\$\.(\w+)\}$", metric["provider"]["web"]["jsonPath"])
    result = answer[path]

    def holds(condition: str | None) -> bool | None:
        return None if condition is None else result == re.findall(r'^result == "(\w+)"$', condition)[0]

    failed, succeeded = holds(metric.get("failureCondition")), holds(metric.get("successCondition"))
    if failed:
        return "Failed"
    if succeeded or (succeeded is None and failed is False):
        return "Successful"
    return "Inconclusive"


@pytest.fixture(scope="module")
def tools() -> dict[str, Tool]:
    tools = {
        "undecided": Tool(name="web"),
        "good": Tool(name="web"),
        "bad": Tool(name="web", canary_behaviour=BAD),
    }
    for name, looks, percent in (("undecided", 2, 50), ("good", 30, 50), ("bad", 8, 10)):
        tools[name].passes(8)
        tools[name].passes(looks, percent)
    return tools


@pytest.mark.parametrize(
    ("metric", "phases"),
    [
        ("no-harm", {"undecided": "Successful", "good": "Successful", "bad": "Failed"}),
        ("margins-shown", {"undecided": "Inconclusive", "good": "Successful", "bad": "Failed"}),
    ],
)
def test_the_analysis_templates(metric: str, phases: dict[str, str], tools: dict[str, Tool]) -> None:
    path = urlsplit(METRICS[metric]["provider"]["web"]["url"]).path
    for name, expected in phases.items():
        with tools[name].asked() as server:
            status, answer = ask(server, "GET", path)
        assert (status, phase(METRICS[metric], answer)) == (200, expected), name


def test_the_gate_ends_with_the_first_success_and_never_by_its_count() -> None:
    gate = METRICS["margins-shown"]
    assert gate["consecutiveSuccessLimit"] == 1
    assert "count" not in gate
    assert gate["inconclusiveLimit"] > 0


def test_the_webhooks(tools: dict[str, Tool]) -> None:
    statuses = {}
    for hook in WEBHOOKS:
        path = urlsplit(hook["url"]).path
        assert path == f"/flagger/{hook['type']}"
        payload = {
            "name": "web",
            "namespace": "shop",
            "phase": "Progressing",
            "checksum": "1",
            "metadata": {},
        }
        for name, tool in tools.items():
            with tool.asked() as server:
                statuses[hook["type"], name], _ = ask(server, "POST", path, json.dumps(payload).encode())
    assert {hook["type"] for hook in WEBHOOKS} == set(HOOKS) - {"rollout"}
    assert statuses["confirm-promotion", "good"] == 200
    assert statuses["confirm-promotion", "undecided"] == 409
    assert statuses["rollback", "bad"] == 200
    assert statuses["rollback", "good"] == 409
