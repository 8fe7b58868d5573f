"""A panel that is left open does not grow: its kernel's memory after many looks."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest

from meshkit.views.release import panel as module
from meshkit.views.release.panel import ReleasePanel
from tests.unit.views_panel.shown import Controls, Growing, long_release

MOST_GROWTH_MB = 50.0
LOADED_S = 60.0
"""After so long, all is loaded."""
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("seconds", [30.0, pytest.param(3600.0, marks=pytest.mark.soak)])
@pytest.mark.timeout(4000)
def test_a_panel_that_is_left_open_does_not_grow(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute, as an hour in soak; the measurement begins once all is loaded."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)

    async def cell() -> float:
        shown = Growing(long_release())
        panel = ReleasePanel(shown, Controls())  # type: ignore[arg-type]
        await asyncio.sleep(min(seconds / 5, LOADED_S))
        before_mb, looks = memory_mb(), shown.shown
        await asyncio.sleep(seconds)
        assert shown.shown > looks
        grown_mb = memory_mb() - before_mb
        panel.close()
        return grown_mb

    assert asyncio.run(cell()) < MOST_GROWTH_MB


def memory_mb() -> float:
    """The memory of this process that is in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB
