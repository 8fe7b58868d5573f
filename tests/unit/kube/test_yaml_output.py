"""YAML that meshkit writes is read as the same values, also by readers that know more numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.kube import yaml_input
from meshkit.kube.yaml_output import comment, document, stream
from meshkit.views.plain_text import visible

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS.filter(bool), VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_back(value: object) -> None:
    assert yaml_input.load(document(value)) == value


@pytest.mark.parametrize(
    "text", ["1e3", "0o14", "123e4567", "y", "N", "1_000", ".5", "12:30:45", "0x1F", "-.inf"]
)
def test_texts_that_look_like_numbers_are_quoted(text: str) -> None:
    assert document({"version": text}) == f"version: '{text}'\n"


@pytest.mark.parametrize("text", ["a\u200bb", "a\u2028b", "a\u202eb\n", "\x1b[1m", "\ufeffa"])
def test_what_a_terminal_obeys_can_be_shown_as_an_escape(text: str) -> None:
    assert yaml_input.load(visible(document({"a": text}))) == {"a": text}


def test_long_texts_are_blocks_and_shared_values_are_written_twice() -> None:
    shared = {"app": "web"}
    written = document({"text": "one\ntwo\n", "a": shared, "b": shared})
    assert written == "text: |\n  one\n  two\na:\n  app: web\nb:\n  app: web\n"


def test_a_comment_stays_a_comment_on_every_line() -> None:
    assert comment("one\nkind: Secret") == "# one\n# kind: Secret\n"
    assert yaml_input.load(stream(comment("one"), ["a: 1\n"])) == {"a": 1}
