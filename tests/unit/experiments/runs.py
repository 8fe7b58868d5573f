"""Runs of experiments to test with."""

from __future__ import annotations

import math

from meshkit.facts import ArmCounts
from meshkit.operations.experiments.recording import (
    ExperimentRun,
    Measured,
    RecordedEvent,
    SettingChange,
)
from meshkit.operations.experiments.settings import ExperimentSettings
from meshkit.operations.shop import shop_route

ROUTE = shop_route("v1", "v2")
HALVES = ExperimentSettings(split={"v1": 50, "v2": 50})


def counts(requests: int, errors: int = 0, slow: int = 0) -> ArmCounts:
    """Answers within 50 ms, ``slow`` of them within 400 ms."""
    good = requests - errors
    return ArmCounts(
        requests, errors, ((50.0, good - slow), (100.0, good - slow), (400.0, good), (math.inf, good))
    )


def run(
    id: str = "20261130-120000-abcd", *, errors: int = 0, slow: int = 0, seconds: int = 4
) -> ExperimentRun:
    """A run of two settings; version v2 has so many errors and slow answers a second."""
    half = seconds // 2
    samples = [
        Measured(float(at), 1.0, int(at > half), "web", version, "shop/client", found)
        for at in range(1, seconds + 1)
        for version, found in (("v1", counts(100)), ("v2", counts(50, errors, slow)))
    ]
    return ExperimentRun(
        id,
        "istio",
        "meshkit-sandbox",
        "2026-11-30T12:00:00+00:00",
        ROUTE,
        settings=(SettingChange(0.0, ExperimentSettings()), SettingChange(float(half), HALVES, "change-1")),
        samples=tuple(samples),
        events=(RecordedEvent(float(half), str(HALVES)),),
        versions=(("istio/istiod", "pilot:1.31"),),
        ended_s=float(seconds),
    )
