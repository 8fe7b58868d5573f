"""Findings of istioctl and linkerd are added if they are on PATH; their failures are harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.analysis import analysis as run_analyzer
from meshkit.cluster.connect import Cluster
from meshkit.facts import Finding
from meshkit.meshes.registry import mesh as mesh_named

CLUSTER = Cluster("here", "https://127.0.0.1:1", None, "/k:/l")  # type: ignore[arg-type]
ISTIOCTL = [
    {"code": "IST0102", "level": "Info", "message": "not labelled", "origin": "Namespace shop"},
    {"code": "IST0101", "level": "Error", "message": "no host", "origin": "VirtualService web"},
]
LINKERD = {
    "success": False,
    "categories": [
        {
            "categoryName": "linkerd-identity",
            "checks": [
                {"description": "fine", "result": "success"},
                {"description": "anchors", "hint": "https://x", "error": "expired", "result": "error"},
            ],
        }
    ],
}


def analysis(cluster: Cluster, mesh: str, *, pre: bool) -> tuple[Finding, ...]:
    analyzer = mesh_named(mesh).analyzer
    assert analyzer
    return run_analyzer(cluster, analyzer.program, analyzer.arguments(pre), analyzer.findings)


def on_path(name: str, answer: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, which prints the answer, writes down its arguments and exits with 1."""
    program, heard = folder / name, folder / "heard"
    text = answer if isinstance(answer, str) else json.dumps(answer)
    program.write_text(f"#!/bin/sh\necho \"$@\" $KUBECONFIG > {heard}\ncat <<'END'\n{text}\nEND\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return heard


def test_nothing_is_added_without_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert analysis(CLUSTER, "istio", pre=False) == ()
    assert analysis(CLUSTER, "linkerd", pre=True) == ()


def test_istioctl_keeps_its_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = on_path("istioctl", ISTIOCTL, tmp_path, monkeypatch)
    found = analysis(CLUSTER, "istio", pre=False)
    assert [(one.code, one.severity, one.object) for one in found] == [
        ("IST0102", "info", "Namespace shop"),
        ("IST0101", "error", "VirtualService web"),
    ]
    assert heard.read_text().split()[:2] == ["analyze", "-A"]
    assert heard.read_text().split()[-2:] == ["--context=here", "/k:/l"], "the same cluster"


def test_linkerd_check_gives_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = on_path("linkerd", LINKERD, tmp_path, monkeypatch)
    (one,) = analysis(CLUSTER, "linkerd", pre=True)
    assert (one.code, one.severity, one.object, one.message) == (
        *("LINKERD", "error"),
        *("linkerd-identity", "expired"),
    )
    assert heard.read_text().split()[:2] == ["check", "--pre"]


def test_a_program_without_an_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path("istioctl", "Error: no cluster", tmp_path, monkeypatch)
    (one,) = analysis(CLUSTER, "istio", pre=False)
    assert (one.code, one.severity) == ("MK1501", "warning")
    assert "it ended with 1: Error: no cluster" in one.message
