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


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_an_encoded_slash_separates_as_a_slash_does(slash: str) -> None:
    found = parse(f"/api/v1/namespaces/n/pods/p{slash}log")
    assert found is not None
    assert (found.name, found.subresource) == ("p", "log")
    assert parse(f"/api/v1/namespaces/n/pods/..{slash}..{slash}victim") is None
    in_namespace = parse(f"/api/v1/namespaces/n{slash}configmaps/c")
    assert in_namespace is not None
    assert (in_namespace.namespace, in_namespace.plural, in_namespace.name) == ("n", "configmaps", "c")


def test_below_other_subresources_there_is_nothing() -> None:
    assert parse("/api/v1/namespaces/n/pods/p/log/more") is None
    assert parse("/healthz") is None
