"""A file fills the inputs of a stage, and one that does not fit says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.errors import BadInput
from meshkit.views.setup.wizard_settings import StageSettings
from tests.unit.views_wizard.intents import ROUTE

FILE = """\
kind: Route
namespace: shop
service: web
port: 8080
versions: [{name: v1}, {name: v2}]
split: {v1: 70, v2: 30}
rules:
- matches: [{path: {prefix: /api}}]
  timeout_s: 3
  split: {v2: 100}
"""


def opened(path: Path, text: str) -> StageSettings:
    settings = StageSettings(lambda: None)
    settings.propose(ROUTE, {})
    settings.toggle.value = True
    path.write_text(text)
    settings.file.value = str(path)
    settings.show()
    return settings


def test_a_file_fills_the_inputs(tmp_path: Path) -> None:
    settings = opened(tmp_path / "route.yaml", FILE)
    read = settings.read()
    assert read.split == {"v1": 70, "v2": 30}
    assert read.rules[0].timeout_s == 3
    assert settings.file in settings.children[1].children
    settings.form._inputs["split"].entries[0].value.value = 60
    settings.form._inputs["split"].entries[1].value.value = 40
    settings.show()
    assert settings.read().split == {"v1": 60, "v2": 40}, "a person may go on from the file"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Injection\nnamespace: shop\n", "this stage takes one Route"),
        (f"{FILE}---\n{FILE}", "this stage takes one Route"),
        ("kind: Route\n", "namespace"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_until_it_is_taken_away(
    tmp_path: Path, text: str, problem: str
) -> None:
    settings = opened(tmp_path / "other.yaml", text)
    with pytest.raises(BadInput, match=problem):
        settings.read()
    settings.file.value = ""
    settings.show()
    assert settings.read() == ROUTE
