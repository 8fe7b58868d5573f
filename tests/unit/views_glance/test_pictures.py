"""The pictures of a glance: nothing overlaps, no name becomes markup, both renderers show the same."""

from __future__ import annotations

import json
import random
import re
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from meshkit.operations.glance.model import NO_SIDECAR, Glance
from meshkit.views.display import install
from meshkit.views.glance import glance_html
from meshkit.views.glance.graph_scene import ROOMY, graph_scene
from meshkit.views.glance.picture import picture
from meshkit.views.glance.plotly_scene import COLOURS, figure
from meshkit.views.glance.shapes import Scene, Shape
from meshkit.views.glance.svg import svg
from meshkit.views.report import STYLE
from tests.unit.glance.shops import call, drawn, finding, glance


def demo() -> Glance:
    return drawn(
        call("shop/in", "shop/front"),
        call("shop/front", "shop/v1", asked_percent=75.0, measured_percent=74.2),
        call("shop/front", "shop/v2", asked_percent=25.0, measured_percent=25.8),
        *(call(f"shop/{a}", f"shop/{b}") for a in ("v1", "v2") for b in ("orders", "payments")),
        call(NO_SIDECAR, "shop/orders", "plain text"),
        call("shop/orders", "data/store", "not known"),
        findings=(finding("error", "Deployment shop/orders"),),
        silent=2,
    )


def twelve() -> Glance:
    names = [f"shop/service-{number}" for number in range(12)]
    pairs = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (2, 5), (3, 6), (4, 7), (5, 8), (6, 9), (7, 10), (8, 11)]
    return drawn(*(call(names[a], names[b]) for a, b in pairs))


def areas(scene: Scene, *levels: int) -> list[tuple[float, float, float, float]]:
    """The bounds of the filled areas of these levels that are boxes or pills."""
    found = [each for each in scene.shapes if each.level in levels and each.fill == "card"]
    return [bounds(each) for each in found]


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    xs, ys = zip(*shape.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("made", [demo, twelve], ids=["demo", "twelve services"])
def test_no_box_and_no_pill_covers_another(made: Any) -> None:
    for (l0, t0, r0, b0), (l1, t1, r1, b1) in combinations(areas(graph_scene(made()), 1, 4), 2):
        shared = max(0.0, min(r0, r1) - max(l0, l1)) * max(0.0, min(b0, b1) - max(t0, t1))
        assert shared <= 0.05 * min((r0 - l0) * (b0 - t0), (r1 - l1) * (b1 - t1))


def test_everything_is_inside_the_picture() -> None:
    scene = graph_scene(demo())
    points = [point for each in scene.shapes for point in each.points]
    assert all(0 <= x <= scene.width and 0 <= y <= scene.height for x, y in points)


def test_the_picture_tells_numbers_locks_shares_and_horizons() -> None:
    text = re.sub(r"\s", " ", " ".join(ElementTree.fromstring(picture(demo())).itertext()))
    for said in ("12/s", "0.5 % · 40 ms", "74.2 of 75 %", "no sidecar", "plain text", "3 d 5 h", "ca.crt"):
        assert said in text


def test_what_a_cluster_says_is_never_markup() -> None:
    hostile = drawn(call("shop/<b>", "shop/&x", asked_percent=1.0), findings=(finding(where="Pod shop/<b>"),))
    ElementTree.fromstring(picture(hostile))
    page = glance_html.page(hostile)
    assert "<b>" not in page.replace("<b></b>", "")
    texts = [each for trace in figure(graph_scene(hostile))["data"] for each in trace.get("text", ())]
    assert any("&lt;b&gt;" in text for text in texts)
    assert not any("<b><b>" in text for text in texts)


def test_plotly_gets_one_trace_for_each_style_and_a_target_for_each_call() -> None:
    names = [f"team-{number % 20}/service-{number}" for number in range(120)]
    chance = random.Random(20)
    pairs = {tuple(sorted(chance.sample(range(120), 2))) for _ in range(500)}
    large = drawn(*(call(names[a], names[b]) for a, b in sorted(pairs)))
    assert len(large.workloads) > ROOMY
    shown = figure(graph_scene(large))
    assert len(shown["data"]) < 20
    targets = shown["data"][-1]
    assert len(targets["customdata"]) == len(large.workloads) + len(large.connections)
    json.dumps(shown, allow_nan=False)


def test_the_picture_stands_still_while_only_numbers_change() -> None:
    before, after = (areas(graph_scene(glance("istio", **w)), 1) for w in ({"v1": 90}, {"v1": 80}))
    assert before == after


@pytest.mark.parametrize("role", sorted(set(COLOURS) - {"text", "mark"}))
def test_each_colour_of_plotly_has_a_rule_for_both_themes(role: str) -> None:
    red, green, blue = (int(COLOURS[role][i : i + 2], 16) for i in (1, 3, 5))
    assert f"rgb({red}, {green}, {blue})" in STYLE


def test_an_svg_brings_its_colours_and_a_label() -> None:
    made = svg(graph_scene(demo()))
    assert "prefers-color-scheme:dark" in made
    assert re.search(r'role="img" aria-label="\d+ workloads', made)


def test_a_glance_is_a_picture_and_a_page_in_a_notebook() -> None:
    from IPython.core.formatters import DisplayFormatter

    formatter = DisplayFormatter()
    install(formatter)
    data, _ = formatter.format(demo())
    assert data["image/svg+xml"].startswith("<svg")
    assert "Findings" in data["text/html"]
    assert data["text/plain"].startswith("Looked at 10 workloads")


def test_many_findings_are_folded_and_none_is_said() -> None:
    many = [finding(where=f"Pod shop/web-{number}") for number in range(11)]
    assert "<summary>3 more</summary>" in glance_html.findings(many)
    assert "Nothing was found." in glance_html.findings([])
