"""A secret is removed in every form in which Python, JSON, YAML and HTML write it, however it is cut."""

from __future__ import annotations

import base64
import html
import json
import pprint
import re
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import v4

from meshkit.kube.redaction import REDACTED, Redaction, redaction

NASTY = "p4ss\"w'or\\d/é<&>\n\ttwo  words\x1b😀"
WRITERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda value: repr(value.encode()),
    "repr of repr": lambda value: repr(repr(value)),
    "json": json.dumps,
    "json of json": lambda value: json.dumps(json.dumps({"a": [value]})),
    "json in unicode": lambda value: json.dumps(value, ensure_ascii=False),
    "repr of json": lambda value: repr(json.dumps(value)),
    "pprint": lambda value: pprint.pformat({"a": value}, width=10),
    "yaml": lambda value: yaml.safe_dump({"a": value}, width=20),
    "yaml in unicode": lambda value: yaml.safe_dump({"a": value}, allow_unicode=True),
    "indented": lambda value: textwrap.indent(value, "    "),
    "html": html.escape,
    "html of json": lambda value: html.escape(json.dumps(value)),
    "percent": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 in lines": lambda value: base64.encodebytes(value.encode()).decode(),
    "base64 for urls": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "basic": lambda value: base64.b64encode(b"u:" + value.encode() + b"x").decode(),
    "basic, longer": lambda value: base64.b64encode(b"usr:" + value.encode() + b"!!").decode(),
}


EXACT = sorted(WRITERS.keys() - {"yaml", "yaml in unicode", "pprint", "indented"})
"""The writers that do not fold lines, for any text."""


def shows(text: str, value: str) -> bool:
    """Whether a part of a value that tells it is left in a text."""
    words = [word for word in re.findall(r"[A-Za-z0-9]{4,}", value) if len(word) > 3]
    return any(word in text for word in words)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("value", [NASTY, "pl4nted-s3cret-value", "correct horse battery " * 8 + "staple"])
def test_no_writer_leaves_a_trace(writer: str, value: str) -> None:
    text = redaction([value]).text(f"before {WRITERS[writer](value)} after")
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert REDACTED in text
    assert not shows(text, value), text


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.text(min_size=6).filter(lambda value: len(value.strip()) >= 6), st.sampled_from(EXACT))
def test_any_text_is_found_in_what_any_writer_makes_of_it(value: str, writer: str) -> None:
    value = value.encode("utf-8", "ignore").decode().strip()
    if len(value) >= 6:
        assert REDACTED in redaction([value]).text(WRITERS[writer](value)), (writer, value)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_value_that_the_kernel_cut_into_outputs(cut: int) -> None:
    value = "s3cr3t-T0ken"
    outputs = [
        v4.new_output("stream", name="stdout", text="it is " + value[:cut]),
        v4.new_output("stream", name="stderr", text="a warning"),
        v4.new_output("stream", name="stdout", text=value[cut:9]),
        v4.new_output("stream", name="stdout", text=f"{value[9:]}, and {value} again"),
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("show()", outputs=outputs)])
    redaction([value]).notebook(notebook)
    texts = [output.text for output in notebook.cells[0].outputs]
    assert texts == [f"it is {REDACTED}", "a warning", "", f", and {REDACTED} again"]


def test_lines_and_names_of_fields_are_read_too() -> None:
    value = "first-l1ne\nsecond-l1ne"
    data = {"application/json": {value: 1}, "text/plain": ["first-l1ne\n", "second-l1ne\n", "end"]}
    output = v4.new_output("display_data", data=data)
    notebook = v4.new_notebook(cells=[v4.new_code_cell("show()", outputs=[output])])
    redaction([value]).notebook(notebook)
    assert not shows(json.dumps(notebook), "first second l1ne")


def test_a_password_inside_a_kubeconfig_is_a_secret_of_its_own() -> None:
    kubeconfig = "users:\n- name: ci\n  user: {username: somebody, password: 'hunter 22!'}\n"
    assert redaction([kubeconfig]).text("somebody has hunter 22!") == f"somebody has {REDACTED}"


def test_without_secrets_nothing_is_removed() -> None:
    assert Redaction().text("text") == redaction([]).text("text") == "text"
