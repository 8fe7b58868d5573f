"""One change of a Route, and the same change in the text of its file."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.intent.document import load_intents
from meshkit.intent.editing.file_edits import edited, routes_in
from meshkit.intent.editing.route_edits import with_match, with_split
from meshkit.intent.rules import Match
from meshkit.intent.traffic import Route

HEAD = "kind: Route\nnamespace: shop\nservice: web\nport: 8080\nversions: [{name: v1}, {name: v2}]\n"
SHORT = {"header": "x-user", "value": "tester", "version": "v2"}


def conditions(**fields: Any) -> Match:
    return Match(**fields)


TESTER = conditions(headers={"x-user": {"exact": "tester"}})


def route(more: str = "split: {v1: 100, v2: 0}\n") -> Route:
    (found,) = load_intents(HEAD + more)
    assert isinstance(found, Route)
    return found


def test_shares_are_those_of_the_routes_versions() -> None:
    assert dict(with_split(route(), {"v2": 100}).split) == {"v2": 100}
    with pytest.raises(BadInput, match="there is no version 'v3'"):
        with_split(route(), {"v1": 50, "v3": 50})
    with pytest.raises(BadInput, match="sum to 90"):
        with_split(route(), {"v1": 90})


def test_one_exact_header_has_the_short_form() -> None:
    found = with_match(route(), TESTER, "v2")
    assert [each.model_dump() for each in found.matches] == [SHORT]
    assert found.rules == ()


@pytest.mark.parametrize(
    "match",
    [
        conditions(headers={"x-user": {"prefix": "t"}}),
        conditions(headers={"x_user": {"exact": "t"}}),
        conditions(headers={"x-user": {"exact": ""}}),
        conditions(headers={"x-user": {"exact": "t"}, "x-other": {"exact": "t"}}),
        conditions(headers={"x-user": {"exact": "t"}}, method="GET"),
        conditions(path={"prefix": "/api"}),
    ],
)
def test_anything_else_is_a_rule(match: Match) -> None:
    found = with_match(route(), match, "v2")
    (rule,) = found.rules
    assert (rule.matches, rule.split, found.matches) == ((match,), {"v2": 100}, ())


def test_a_new_match_is_the_last_or_the_first() -> None:
    both = with_match(with_match(route(), TESTER, "v2"), conditions(headers={"x-b": {"exact": "1"}}), "v1")
    assert [each.header for each in both.matches] == ["x-user", "x-b"]
    first = with_match(both, conditions(headers={"x-c": {"exact": "1"}}), "v1", first=True)
    assert [each.header for each in first.matches] == ["x-c", "x-user", "x-b"]
    ruled = with_match(both, conditions(path={"exact": "/a"}), "v2")
    before = with_match(ruled, conditions(headers={"x-d": {"exact": "1"}}), "v1", first=True)
    assert [rule.split for rule in before.rules] == [{"v1": 100}, {"v2": 100}]


def test_conditions_that_are_there_are_refused() -> None:
    held = with_match(route(), TESTER, "v2")
    again = conditions(headers={"X-User": {"exact": "tester"}})
    with pytest.raises(BadInput, match=r"route\.matches\[0\].*first") as refused:
        with_match(held, again, "v1")
    assert "--first" in refused.value.remedy
    assert with_match(held, again, "v1", first=True).matches[0].version == "v1"


FILES = {
    "flow": "split: {v1: 100, v2: 0}  # by hand\ntimeout_s: 2\n",
    "block": "split:\n  v1: 100  # most\n  v2: 0\n# the end\ntimeout_s: 2\n",
    "one version": "split:\n  v1: 100\ntimeout_s: 2\n",
    "last": "timeout_s: 2\nsplit: {v1: 100}",
}


@pytest.mark.parametrize("name", FILES)
def test_shares_are_changed_in_the_text(name: str) -> None:
    text = f"# ours\n{HEAD}{FILES[name]}"
    before = route(FILES[name])
    wanted = with_split(before, {"v1": 99.5, "v2": 0.5})
    after = edited(text, "shop.yaml", before, wanted)
    assert load_intents(f"{after}\n") == [wanted]
    for line in ("# ours", "versions: [{name: v1}, {name: v2}]", "timeout_s: 2"):
        assert line in after.splitlines(), after
    for comment in ("# by hand", "# most", "# the end"):
        assert (comment in text) == (comment in after)


def test_a_short_block_gets_another_version() -> None:
    before = route(FILES["one version"])
    after = edited(HEAD + FILES["one version"], "f", before, with_split(before, {"v1": 90, "v2": 10}))
    assert "split: {v1: 90, v2: 10}\ntimeout_s: 2\n" in after


LISTS = {
    "none": "split: {v1: 100}  # all\ntimeout_s: 2\n",
    "flow": "matches: [{header: x-a, value: b, version: v1}]\nsplit: {v1: 100}\n",
    "empty": "matches: []\nsplit: {v1: 100}\n",
    "block": "matches:\n- header: x-a\n  value: b\n  version: v1  # for a\n\nsplit: {v1: 100}\n",
    "indented": "split: {v1: 100}\nmatches:\n    - header: x-a\n      value: b\n      version: v1\n",
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_a_match_is_added_to_the_text(name: str, first: bool) -> None:
    before = route(LISTS[name])
    wanted = with_match(before, TESTER, "v2", first=first)
    after = edited(HEAD + LISTS[name], "f", before, wanted)
    assert load_intents(after) == [wanted]
    assert "{header: x-user, value: tester, version: v2}" in after
    for comment in ("# all", "# for a"):
        assert (comment in LISTS[name]) == (comment in after)


def test_a_rule_is_added_to_the_text() -> None:
    before = route()
    wanted = with_match(before, conditions(path={"prefix": "/api"}, method="GET"), "v2")
    after = edited(f"{HEAD}split: {{v1: 100, v2: 0}}\n", "f", before, wanted)
    assert after.endswith("rules:\n- {matches: [{path: {prefix: /api}, method: GET}], split: {v2: 100.0}}\n")


def test_a_route_on_one_line_is_changed_in_the_text() -> None:
    text = "{kind: Route, namespace: shop, service: web, port: 80, versions: [{name: v1}], split: {v1: 100}}"
    (before,) = load_intents(f"{text}\n")
    assert isinstance(before, Route)
    wanted = with_match(before, TESTER, "v1")
    assert load_intents(f"{edited(text, 'f', before, wanted)}\n") == [wanted]


def test_other_documents_stay() -> None:
    other = HEAD.replace("web", "api") + "split: {v1: 100}\n"
    text = f"{other}---\n{HEAD}split: {{v1: 100, v2: 0}}\n---\nkind: MutualTLS\nmode: strict\n"
    (before,) = routes_in(load_intents(text), "shop", "web", None)
    after = edited(text, "f", before, with_split(before, {"v1": 20, "v2": 80}))
    assert after == text.replace("{v1: 100, v2: 0}", "{v1: 20, v2: 80}")


def test_what_cannot_be_changed_in_place_is_refused() -> None:
    """The rule has the same shares by an alias, and would change as well."""
    more = "rules: [{matches: [{method: GET}], split: &shares {v1: 100, v2: 0}}]\nsplit: *shares\n"
    before = route(more)
    with pytest.raises(BadInput, match="cannot be changed in place") as refused:
        edited(HEAD + more, "shop.yaml", before, with_split(before, {"v1": 90, "v2": 10}))
    assert refused.value.field == "shop.yaml"
    assert "meshkit apply -f shop.yaml" in refused.value.remedy
