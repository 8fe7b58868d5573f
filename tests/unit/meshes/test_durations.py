"""Durations as the meshes read them."""

from __future__ import annotations

import pytest

from meshkit.errors import BadInput
from meshkit.meshes.gateway_api.durations import duration, gateway_duration
from meshkit.meshes.linkerd.meaning.reliability import one_unit_s


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (2, "2s"),
        (0.5, "500ms"),
        (2.5, "2500ms"),
        (0.001, "1ms"),
        (99.999, "99999ms"),
        (90, "90s"),
        (99999, "99999s"),
        (360000, "6000m"),
        (36000000, "10000h"),
    ],
)
def test_gateway_durations_have_one_unit_of_at_most_five_digits(seconds: float, expected: str) -> None:
    assert gateway_duration(seconds, "route.timeout_s") == expected
    assert one_unit_s(expected) == pytest.approx(seconds)


@pytest.mark.parametrize("seconds", [100.5, 0.0005, 2.0005, 100001, 1e9])
def test_what_no_single_unit_can_say_is_refused(seconds: float) -> None:
    with pytest.raises(BadInput, match="takes any other duration for no timeout") as raised:
        gateway_duration(seconds, "route.timeout_s")
    assert raised.value.field == "route.timeout_s"
    assert "whole milliseconds" in raised.value.remedy


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2, "2s"), (0.5, "500ms"), (100.5, "100500ms"), (0.0004, "1ms"), (0, "0s")]
)
def test_other_durations_have_one_unit(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
