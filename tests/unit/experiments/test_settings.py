"""Settings of an experiment as a route, and the limits on a cluster that is no sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.intent.rules import Fault, Mirror
from meshkit.intent.traffic import HeaderMatch
from meshkit.operations.experiments.settings import ExperimentLimits, ExperimentSettings, WorkloadBehaviour
from meshkit.operations.shop import shop_route

ROUTE = shop_route("v1", "v2")
TESTER = HeaderMatch(header="x-user", value="tester", version="v2")
LIMITS = ExperimentLimits(most_percent={"v2": 10}, mirror_percent=5)


def test_nothing_given_is_the_route_as_it_was_found() -> None:
    assert ExperimentSettings().route(ROUTE) == ROUTE


def test_a_header_comes_before_the_rules_of_the_route() -> None:
    rules = ExperimentSettings(headers=(TESTER,)).route(ROUTE).rules
    assert [(rule.matches[0].headers["x-user"].exact, rule.split) for rule in rules] == [
        ("tester", {"v2": 100})
    ]


def test_a_mirror_keeps_the_matches_of_the_route_before_it() -> None:
    route = ROUTE.model_copy(update={"matches": (TESTER,)})
    changed = ExperimentSettings(split={"v1": 90, "v2": 10}, mirror=Mirror(version="v2")).route(route)
    first, last = changed.rules
    assert first.split == {"v2": 100}
    assert last.split == {"v1": 90, "v2": 10}
    assert last.mirror == Mirror(version="v2")
    assert changed.matches == ()


def test_a_setting_is_replaced_and_none_is_as_found() -> None:
    first = ExperimentSettings(split={"v1": 50, "v2": 50}, fault=Fault(delay_s=1))
    assert first.changed({"fault": None}) == ExperimentSettings(split={"v1": 50, "v2": 50})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(BadInput, match="weights"):
        ExperimentSettings().changed({"weights": {}})


def test_a_version_that_the_route_does_not_have_is_named() -> None:
    with pytest.raises(BadInput, match="no version 'v9'"):
        ExperimentSettings(split={"v9": 100}).route(ROUTE)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"fault": Fault(delay_s=1)}, "fault"),
        ({"load_rps": 1}, "load_rps"),
        ({"lost_zone": "zone-a"}, "lost_zone"),
        ({"behaviours": {"web-v1": WorkloadBehaviour(latency_ms=1)}}, "behaviours"),
        ({"split": {"v1": 89, "v2": 11}}, r"split\.v2"),
        ({"headers": (TESTER,)}, "headers"),
        ({"mirror": Mirror(version="v2")}, r"mirror\.percent"),
    ],
)
def test_beyond_the_limits_it_is_refused_by_its_name(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=f"^{field}"):
        LIMITS.require(ExperimentSettings(**asked), ROUTE)


def test_within_the_limits_it_is_allowed() -> None:
    asked = ExperimentSettings(split={"v1": 90, "v2": 10}, mirror=Mirror(version="v2", percent=5))
    LIMITS.require(asked, ROUTE)


def test_a_version_without_a_limit_keeps_at_most_its_share() -> None:
    with pytest.raises(BadInput, match="more than the limit of 0 %"):
        ExperimentLimits().require(ExperimentSettings(split={"v1": 99, "v2": 1}), ROUTE)
