"""The demo's good release on a machine that stands still: released again, by the request log only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshkit import demo
from meshkit.errors import RunbookFailed
from meshkit.operations import shop
from meshkit.operations.shop import Ledger


def walk(monkeypatch: pytest.MonkeyPatch, late: int) -> tuple[demo._Walk, list[str], list[str]]:
    """A walk whose first release of v2 is rolled back after ``late`` slow answers of v2 among 100."""
    released: list[str] = []
    told: list[str] = []

    def release(*_: Any, name: str = "", **__: Any) -> Any:
        released.append(name)
        if len(released) == 1:
            raise RunbookFailed("4_release_v2: exit code 1", remedy="Open it.")
        return "the result"

    latencies = (200.0,) * late + (40.0,) * (1100 - late)
    ledger = Ledger(tuple(range(1100)), latencies, (200,) * 1100, ("v2",) * 100 + ("v1",) * 1000)
    monkeypatch.setattr(demo, "_release", release)
    monkeypatch.setattr(shop, "read_ledger", lambda *_: ledger)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return demo._Walk(None, "istio", Path(), told.append), released, told  # type: ignore[arg-type]


def test_it_is_released_again_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    on, released, told = walk(monkeypatch, late=11)
    assert demo._good_release(on) == "the result"  # type: ignore[comparison-overlap]
    assert released == ["", "web-v2-again"]
    assert "11 of 100 answers of v2" in told[0]
    assert "longer than 80 ms" in told[0]


def test_a_release_that_fails_for_another_reason_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    on, released, _ = walk(monkeypatch, late=0)
    with pytest.raises(RunbookFailed):
        demo._good_release(on)
    assert released == [""]
