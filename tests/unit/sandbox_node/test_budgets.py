"""How many healthy pods a PodDisruptionBudget asks for."""

from __future__ import annotations

import pytest

from meshkit.sandbox.controllers.budgets import desired_healthy


@pytest.mark.parametrize(
    ("spec", "expected", "healthy"),
    [
        ({"minAvailable": 2}, 3, 2),
        ({"minAvailable": 5}, 3, 5),
        ({"minAvailable": "50%"}, 3, 2),
        ({"maxUnavailable": 1}, 3, 2),
        ({"maxUnavailable": 5}, 3, 0),
        ({"maxUnavailable": "50%"}, 3, 1),
        ({"maxUnavailable": "0%"}, 3, 3),
    ],
)
def test_numbers_count_pods_and_percentages_round_up(
    spec: dict[str, int | str], expected: int, healthy: int
) -> None:
    assert desired_healthy(spec, expected) == healthy
