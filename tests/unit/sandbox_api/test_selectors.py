from __future__ import annotations

import pytest

from meshkit.kube.selectors import holds
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage import selectors

POD = {
    "metadata": {"name": "web-1", "labels": {"app": "web", "version": "v1", "example.com/tier": "front"}},
    "spec": {"nodeName": "a", "hostNetwork": False},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app=web", True),
        ("app==web,version=v1", True),
        ("app=web,version=v2", False),
        ("app!=web", False),
        ("nothing!=x", True),
        ("version in (v1, v2)", True),
        ("version notin (v1,v2)", False),
        ("nothing notin (v1)", True),
        ("version", True),
        ("!version", False),
        ("!nothing , app", True),
        ("example.com/tier in (front),app=web", True),
        ("app=", False),
        ("", True),
    ],
)
def test_label_selectors(text: str, expected: bool) -> None:
    assert selectors.query(text, None)(POD) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name=web-1", True),
        ("metadata.name=web-1,status.phase!=Running", False),
        ("spec.nodeName==b", False),
        ("spec.hostNetwork=false", True),
        ("spec.unschedulable=", True),
    ],
)
def test_field_selectors(text: str, expected: bool) -> None:
    assert selectors.query(None, text)(POD) is expected


@pytest.mark.parametrize("text", ["app=(", "a in v1", "=x", "a=b c"])
def test_a_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="unable to parse"):
        selectors.labels(text)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selector_objects(selector: dict[str, object] | None, expected: bool) -> None:
    assert holds(selector, {"app": "web"}) is expected
