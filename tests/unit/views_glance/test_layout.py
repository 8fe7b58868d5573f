"""Where workloads stand: by call depth, in one order, with long calls led around boxes."""

from __future__ import annotations

import random
from itertools import pairwise

from meshkit.views.glance.layout import MOST_COLUMNS, layout


def test_columns_follow_the_depth_of_the_calls() -> None:
    calls = [("in", "web"), ("web", "v1"), ("web", "v2"), ("v1", "db"), ("v2", "db")]
    found = layout(["in", "web", "v1", "v2", "db", "idle"], calls, 10)
    assert found.columns == (("in",), ("web",), ("v1", "v2"), ("db",))
    assert found.silent == ("idle",)


def test_a_caller_stands_just_before_the_first_that_it_calls() -> None:
    found = layout(["in", "web", "db", "job"], [("in", "web"), ("web", "db"), ("job", "db")], 10)
    assert set(found.columns[1]) == {"web", "job"}


def test_a_long_call_passes_every_column_between_its_ends() -> None:
    found = layout(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], 10)
    passed = found.passes["a", "d"]
    assert [sum(name in column for name in passed) for column in found.columns] == [0, 1, 1, 0]


def test_calls_in_a_circle_and_to_oneself_have_places_too() -> None:
    found = layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")], 10)
    assert sorted(name for column in found.columns for name in column if "#" not in name) == ["a", "b", "c"]


def test_two_crossing_calls_are_untangled() -> None:
    found = layout(["a", "b", "x", "y"], [("a", "y"), ("b", "x")], 10)
    first, second = found.columns
    assert [first.index("a") < first.index("b")] == [second.index("y") < second.index("x")]


def test_the_order_of_the_input_does_not_matter() -> None:
    names = [f"n{number}" for number in range(30)]
    calls = [(names[i], names[j]) for i in range(30) for j in range(i + 1, 30) if (i * j) % 7 == 1]
    shuffled_names, shuffled_calls = names[:], calls[:]
    random.Random(20).shuffle(shuffled_names)
    random.Random(21).shuffle(shuffled_calls)
    assert layout(names, calls, 10) == layout(shuffled_names, shuffled_calls, 10)


def test_long_chains_and_full_columns_stay_bounded() -> None:
    chain = [f"n{number}" for number in range(60)]
    calls = [*pairwise(chain), *(("n0", name) for name in chain[2:])]
    columns = layout(chain, calls, 40, around=False).columns
    assert len(columns) <= MOST_COLUMNS
    assert max(map(len, columns)) <= 40


def test_nothing_has_no_columns() -> None:
    assert layout([], [], 10).columns == ()
    assert layout(["a"], [], 10).silent == ("a",)
