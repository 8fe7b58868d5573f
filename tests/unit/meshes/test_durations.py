from __future__ import annotations

import pytest

from meshkit.meshes.gateway_api.routes import duration, gateway_duration


@pytest.mark.parametrize(("seconds", "expected"), [(2, "2s"), (0.5, "500ms"), (100.5, "100s500ms")])
def test_gateway_durations_have_at_most_five_digits_a_unit(seconds: float, expected: str) -> None:
    assert gateway_duration(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(2, "2s"), (0.5, "500ms"), (100.5, "100500ms")])
def test_other_durations_have_one_unit(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
