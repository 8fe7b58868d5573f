"""What an address names."""

from __future__ import annotations

import pytest

from meshkit.sandbox.api.http.routes import parse

POD = "/api/v1/namespaces/proxy/pods/proxy:80/proxy"


@pytest.mark.parametrize(
    ("path", "tail"),
    [("", ""), ("/", "/"), ("/a/b/", "/a/b/"), ("/-%2Fbehaviour", "/-/behaviour"), ("/a%3Fb%20c", "/a?b c")],
)
def test_the_rest_of_a_proxy_path_is_decoded_whatever_the_pod_is_called(path: str, tail: str) -> None:
    route = parse(POD + path)
    assert route is not None
    assert (route.namespace, route.name, route.subresource) == ("proxy", "proxy:80", "proxy")
    assert route.tail == tail


def test_below_other_subresources_there_is_nothing() -> None:
    assert parse("/api/v1/namespaces/n/pods/p/log/more") is None
    assert parse("/healthz") is None
