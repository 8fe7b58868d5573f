"""Documents to begin with, and their schema, agree with the models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from meshkit.cli.app import cli
from meshkit.errors import BadInput, UnknownName
from meshkit.intent.document import KINDS, load_intents
from meshkit.intent.template import schema, template

pytestmark = pytest.mark.parametrize("kind", sorted(KINDS))


def document(kind: str, *, whole: bool) -> tuple[str, dict[str, Any]]:
    text = template(kind)
    text = re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE) if whole else text
    return text, yaml.safe_load(text)


@pytest.mark.parametrize("whole", [False, True], ids=["required", "whole"])
def test_a_template_is_a_valid_document_with_and_without_its_optional_fields(kind: str, whole: bool) -> None:
    text, fields = document(kind, whole=whole)
    (intent,) = load_intents(text)
    assert type(intent) is KINDS[kind]
    Draft202012Validator(schema(kind)).validate(fields)
    if whole:
        assert set(fields) == {"kind", *KINDS[kind].model_fields}


def test_every_field_has_its_description_above_it(kind: str) -> None:
    words = " ".join(line.removeprefix("# ") for line in template(kind).splitlines())
    for name, field in KINDS[kind].model_fields.items():
        assert field.description, name
        assert " ".join(field.description.split()) in words


def test_the_schema_refuses_what_the_model_refuses(kind: str) -> None:
    check = Draft202012Validator(schema(kind))
    _, fields = document(kind, whole=False)
    assert not check.is_valid({**fields, "kind": "Other"})
    assert not check.is_valid({**fields, "unknown": 1})
    for name, field in KINDS[kind].model_fields.items():
        if field.is_required():
            assert not check.is_valid({key: value for key, value in fields.items() if key != name})


def test_a_file_is_written_once(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    first = CliRunner().invoke(cli, ["init", kind, "--to", str(file)])
    assert (first.exit_code, file.read_text()) == (0, template(kind))
    again = CliRunner().invoke(cli, ["init", kind, "--to", str(file)])
    assert isinstance(again.exception, BadInput)
    assert "exists already" in str(again.exception)


def test_another_kind_is_refused_with_the_known_ones(kind: str) -> None:
    for command in ("init", "schema"):
        refused = CliRunner().invoke(cli, [command, kind.lower()])
        assert isinstance(refused.exception, UnknownName)
        assert kind in str(refused.exception)
