"""Intents in YAML are read as written, and an error names file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.intent.document import KINDS, load_intents, load_values
from meshkit.intent.injection import Injection
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route, Version

ROUTE = """\
kind: Route
namespace: shop
service: web
port: 8080
versions:
  - name: v1
  - name: v2
split:
  v1: 90
  v2: 10
"""


def test_documents_become_intents_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("kind: Injection\nnamespace: shop\n---\nkind: MutualTLS\nmode: strict\n---\n" + ROUTE)
    versions = (Version(name="v1"), Version(name="v2"))
    route = Route(namespace="shop", service="web", port=8080, versions=versions, split={"v1": 90, "v2": 10})
    assert load_intents(path) == [Injection(namespace="shop"), MutualTLS(mode="strict"), route]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROUTE.replace("v2: 10", "v2: 20"), "text line 8: route.split: the weights sum to 110"),
        (ROUTE.replace("  - name: v2", "  - name: V2"), r"text line 7: route.versions\[1\].name: 'V2'"),
        (ROUTE.replace("port: 8080", "port: [8080"), "text line 5: this is not YAML"),
        (
            ROUTE.replace("port: 8080", "prt: 8080"),
            "text line 4: route: 'prt' is not known. Did you mean 'port'",
        ),
        (
            ROUTE.replace("v2: 10", "v9: 10"),
            r"text line 10: route\.split\.v9: there is no version 'v9'",
        ),
        (ROUTE + "port: 1\n", "text line 11: 'port' is written twice"),
        (
            ROUTE.replace("kind: Route", "kind: Rout"),
            "text line 1: kind: 'Rout' is not known. Did you mean 'Route'",
        ),
        ("namespace: shop\n", "text line 1: kind is missing"),
        ("- kind: Route\n", "text line 1: a document is a mapping"),
        ("# nothing\n", "text: it holds no document"),
        ("kind: Injection\nnamespace: !!python/object:x y\n", "text line 2: this is not YAML"),
        ("a: \x01\n", "text: this is not YAML"),
        ("kind: [Route]\n", r"text line 1: kind: .*Route"),
        ("kind: MutualTLS\nnamespace: 2001-99-99\n", "text line 1: mutual_tls.mode: is missing"),
        ("kind: MutualTLS\nnamespace: &a [*a]\n", "text line 2: this is not YAML: the value of an anchor"),
        (
            'kind: MutualTLS\nnamespace: "shop\u00a0"\nmode: strict\n',
            r"text line 2: mutual_tls.namespace: 'shop\\xa0' is not",
        ),
        ("kind: MutualTLS\nmode: " + "x" * 9000 + "\n", "text line 2: mutual_tls.mode: '" + "x" * 80 + "'"),
        (ROUTE.replace("8080", "9" * 5000), "text line 4: this is not YAML: the number has more than 40"),
        (ROUTE.replace("split:", "? [a]\n:"), "text line 8: this is not YAML: a key is a text"),
    ],
)
def test_errors_name_line_and_field(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_intents(text)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("kind: Mesh\n")
    with pytest.raises(UnknownName, match=r"mesh\.yaml line 1: kind: 'Mesh' is not known") as raised:
        load_intents(path)
    assert set(raised.value.known) == set(KINDS)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        load_intents(tmp_path / "none.yaml")


def test_values_of_a_chart_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("global:\n  hub: registry.example/istio\n")
    assert load_values(path) == {"global": {"hub": "registry.example/istio"}}
    path.write_text("")
    assert load_values(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", "it holds no mapping"), ("a: [\n", "it cannot be read"), (None, "there is no such file")],
)
def test_a_file_without_values_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "values.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=f"values.yaml: {message}"):
        load_values(path)


def test_a_fault_in_values_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("global:\n  hub: [\nrevision: x: y\n")
    with pytest.raises(BadInput, match=r"values\.yaml: it cannot be read: line 3: "):
        load_values(path)


def test_an_object_of_kubernetes_is_told_apart_from_an_intent() -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
    with pytest.raises(BadInput, match=r"line 2: kind: 'VirtualService' .*'meshkit check -f' checks objects"):
        load_intents(text)


def test_an_error_repeats_only_the_beginning_of_a_long_word() -> None:
    with pytest.raises(BadInput, match=r"'a{299}\.\.\. is not a Kubernetes name") as refused:
        load_intents(f"kind: Injection\nnamespace: {'a' * 5000}\n")
    assert len(str(refused.value)) < 700
