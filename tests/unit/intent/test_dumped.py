"""Intents that are written to YAML are read back as equal ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import meshkit as mk
from meshkit.errors import BadInput
from meshkit.intent.base import Intent
from meshkit.intent.document import KINDS, dump_intents, load_intents
from meshkit.intent.template import template
from tests.unit.meshes.golden_cases import CASES

WHOLE = {kind: yaml.safe_load(re.sub(r"^#(?! \S)", "", template(kind), flags=re.MULTILINE)) for kind in KINDS}
TRICKY = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20) | st.sampled_from(
    ["1e3", "yes", "n", "0x1", "2001-01-01", "a: b", "- c", "# d", "null", "~", "'", '"', "12:30", " e "]
)
SHARES = st.integers(0, 1000).map(lambda tenths: {"v1": tenths / 10, "v2": (1000 - tenths) / 10})


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_golden_intent_is_read_back(name: str) -> None:
    _, intent = CASES[name]
    assert load_intents(dump_intents(intent)) == [intent]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_choice_of_fields_is_read_back(data: st.DataObject) -> None:
    """Each kind with some of the optional fields of its template."""
    intents = [chosen(kind, data) for kind in data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1))]
    assert load_intents(dump_intents(intents)) == intents


@settings(max_examples=100, deadline=None)
@given(value=TRICKY, label=TRICKY, split=SHARES, timeout_s=st.floats(0.001, 3600))
def test_any_text_and_number_is_read_back(
    value: str, label: str, split: Mapping[str, float], timeout_s: float
) -> None:
    route = mk.Route(
        namespace="shop",
        service="web",
        port=8080,
        versions=(mk.Version(name="v1", labels={"track": label}), mk.Version(name="v2")),
        split=split,
        matches=(mk.HeaderMatch(header="x-user", value=value, version="v2"),),
        timeout_s=timeout_s,
    )
    assert load_intents(dump_intents([route])) == [route]


def chosen(kind: str, data: st.DataObject) -> Intent:
    """An intent with its required fields, and those optional ones that are drawn and go together."""
    model, whole = KINDS[kind], WHOLE[kind]
    required = {name: whole[name] for name, field in model.model_fields.items() if field.is_required()}
    optional = sorted(set(whole) - set(required) - {"kind"})
    drawn = data.draw(st.sets(st.sampled_from(optional))) if optional else ()
    some: Any = {**required, **{name: whole[name] for name in drawn}}
    try:
        return model(**some)
    except BadInput:
        return model(**required)


def test_defaults_are_left_out_and_a_file_is_read(tmp_path: Path) -> None:
    intents = [mk.Injection(namespace="shop", at_once=1), mk.MutualTLS(mode="strict")]
    text = mk.dump_intents(intents)
    assert text == "kind: Injection\nnamespace: shop\n---\nkind: MutualTLS\nmode: strict\n"
    file = tmp_path / "mesh.yaml"
    file.write_text(text)
    assert mk.load_intents(file) == intents
