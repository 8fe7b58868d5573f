"""``meshkit route``: what is given on the command line, and the file that a change is written to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from meshkit.cli import output
from meshkit.cli.routes import route_group
from meshkit.errors import CHANGES_PENDING, BadInput
from meshkit.facts import ClusterRef
from meshkit.intent.rules import Match
from meshkit.operations.plan import Plan
from meshkit.operations.routes import edit

FILE = """\
# the shop
kind: Route
namespace: shop
service: web
port: 8080
versions: [{name: v1}, {name: v2}]
split: {v1: 100, v2: 0}  # by hand
"""
EMPTY = Plan("Route shop/web", "istio", "prod", "https://prod:6443", ())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the library is asked for; the cluster has it already."""
    found: list[tuple[Any, ...]] = []
    there = SimpleNamespace(
        ref=ClusterRef("prod", "https://prod:6443"), server="https://prod:6443", context="prod"
    )
    monkeypatch.setattr(output.ClusterChoice, "connect", lambda self, **_: there)

    def planned(*given: Any, **named: Any) -> Plan:
        found.append((*given, named))
        return EMPTY

    for name in ("plan_split", "plan_match"):
        monkeypatch.setattr(edit, name, planned)
    return found


def run(*words: str) -> Any:
    result = CliRunner().invoke(route_group, list(words), catch_exceptions=True, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_shares_and_conditions_are_read(asked: list[tuple[Any, ...]]) -> None:
    run("set", "shop/web", "v1=99.5", "v2=0.5%", "--port", "8080")
    service, split, _, named = asked[0]
    assert (service, split, named["port"], named["route"]) == (
        "shop/web",
        {"v1": 99.5, "v2": 0.5},
        8080,
        None,
    )
    run(
        "add-match", "shop/web", "--header", "X-A=b=c", "v2", "--prefix", "/api", "--method", "GET", "--first"
    )
    service, match, version, _, named = asked[1]
    wanted = Match.model_validate(
        {"headers": {"X-A": {"exact": "b=c"}}, "path": {"prefix": "/api"}, "method": "GET"}
    )
    assert (service, match, version, named["first"]) == ("shop/web", wanted, "v2", True)


@pytest.mark.parametrize(
    ("words", "field", "problem"),
    [
        (("set", "shop/web", "v1"), "shares", "'v1' is not VERSION=PERCENT"),
        (("set", "shop/web", "v1=a"), "shares", "'v1=a' is not VERSION=PERCENT"),
        (("set", "shop/web", "v1=50", "v1=50"), "shares", "v1 is named twice"),
        (("add-match", "shop/web", "v2"), "match", "it has no condition"),
        (("add-match", "shop/web", "v2", "--header", "x"), "--header", "'x' is not NAME=VALUE"),
        (
            ("add-match", "shop/web", "v2", "--header", "x=1", "--header", "X=2"),
            "--header",
            "X is named twice",
        ),
        (("add-match", "shop/web", "v2", "--path", "/a", "--prefix", "/b"), "--prefix", "excludes --path"),
    ],
)
def test_what_cannot_be_read_is_refused(
    asked: list[tuple[Any, ...]], words: tuple[str, ...], field: str, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem) as refused:
        run(*words)
    assert refused.value.field == field
    assert asked == []


def test_a_file_gets_the_change_that_is_applied(asked: list[tuple[Any, ...]], tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(FILE)
    told = run("set", "shop/web", "v1=90", "v2=10", "-f", str(file), "--dry-run").output
    assert "+split: {v1: 90, v2: 10}  # by hand" in told
    assert file.read_text() == FILE
    told = run("set", "shop/web", "v1=90", "v2=10", "-f", str(file), "--yes").output
    assert file.read_text() == FILE.replace("{v1: 100, v2: 0}", "{v1: 90, v2: 10}")
    assert "does not change the file" in told
    assert [dict(named["route"].split) for *_, named in asked] == [{"v1": 100, "v2": 0}] * 2


def test_a_file_without_the_route_is_refused(asked: list[tuple[Any, ...]], tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(FILE)
    for words in (("shop/api", "v1=100"), ("shop/web", "v1=100", "--port", "81")):
        with pytest.raises(BadInput, match="it has no Route for"):
            run("set", *words, "-f", str(file))
    assert asked == []


def test_pending_changes_are_an_exit_code(
    asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = SimpleNamespace(empty=False, to_json=lambda: "{}")
    monkeypatch.setattr(edit, "plan_split", lambda *_, **__: pending)
    assert run("set", "shop/web", "v1=100", "--dry-run", "--json").return_value == CHANGES_PENDING
