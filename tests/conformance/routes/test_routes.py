"""The same objects through the real istiod and through the sandbox: the same routes, the same answers.

One istiod and one API server serve all cases; each case has two Envoys of its own and takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.routes.answers import Answers, differences
from tests.conformance.routes.bench import Bench, compared
from tests.conformance.routes.cases import Case, Group, all_cases

CASES = all_cases()


@pytest.fixture(scope="module")
def bench(part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(part("pilot-discovery"), part("istioctl"), tmp_path_factory.mktemp("routes"))
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(bench: Bench, case: Case) -> None:
    real, ours = bench.run(case)
    assert (real.rejections, ours.rejections) == (0, 0), "an Envoy refused what it was given"
    found = compared(case, real, ours)
    text = "\n".join(each for texts in found.values() for each in texts)
    if case.reason:
        assert found.keys() == case.differs_in, f"the known difference has changed; found:\n{text}"
    else:
        assert not found, text


def test_no_envoy_refused_anything_of_istiod(bench: Bench) -> None:
    """Runs after the cases."""
    assert sum(bench.istiod_rejections().values()) == 0


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40


def test_chance_has_no_part_in_what_every_request_does() -> None:
    group = Group(to="web:8080", count=300, hits=True)
    of = {hits: Answers({("200",): 300}, {"v1": hits}) for hits in (300, 326, 335, 380)}
    assert not differences(group, of[326], of[335])
    assert differences(group, of[300], of[326])
    assert differences(group, of[326], of[380])
