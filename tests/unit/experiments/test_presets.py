"""The presets' schedules."""

from __future__ import annotations

import itertools

import pytest

from meshkit.errors import BadInput
from meshkit.operations.experiments.presets import PRESETS, Surroundings
from tests.unit.experiments.runs import ROUTE

SHOP = Surroundings(
    ROUTE,
    frozenset({"web-v1", "web-v2", "stock", "client"}),
    {
        "zone-a": frozenset({"shop/web-v1", "shop/client"}),
        "zone-b": frozenset({"shop/web-v1", "shop/web-v2"}),
        "zone-c": frozenset({"shop/stock"}),
    },
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_something_step_by_step_and_lets_the_last_step_last(name: str) -> None:
    moments = PRESETS[name](SHOP, 10.0)
    assert [at_s for at_s, _ in moments] == [10.0 * number for number in range(len(moments))]
    assert moments[-1][1] is None
    settings = [each for _, each in moments[:-1]]
    assert all(each is not None for each in settings)
    assert any(each.given() for each in settings if each)
    assert all(first != second for first, second in itertools.pairwise(settings))


def test_the_lost_zone_has_the_service_and_not_its_caller() -> None:
    assert SHOP.zone_to_lose == "zone-b"


def test_without_the_workload_it_is_said_what_is_missing() -> None:
    bare = Surroundings(ROUTE, frozenset({"web-v1"}), {})
    for name, missing in (("slow canary", "web-v2"), ("failing dependency", "stock"), ("zone loss", "zone")):
        with pytest.raises(BadInput, match=missing):
            PRESETS[name](bare, 10.0)
