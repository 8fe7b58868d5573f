"""Which route a request takes, and whether a server lets it in."""

from __future__ import annotations

import pytest

from meshkit.meshes.model.inbound import Authorization, Condition, Inbound, InboundRoute, Policy, Rule
from meshkit.meshes.model.outbound import (
    HeaderEdits,
    Match,
    MatchKind,
    NamedMatch,
    Rewrite,
    Route,
    StringMatch,
    VirtualHost,
)
from meshkit.meshes.model.requests import (
    Matching,
    NotKnown,
    Request,
    Sender,
    Taken,
    decide,
    domains_of,
    holds,
    route_of,
    sent,
    text_holds,
    virtual_host_of,
)

CLIENT = "spiffe://cluster.local/ns/shop/sa/client"


def host(name: str, *domains: str) -> VirtualHost:
    return VirtualHost(name, 80, domains, ())


HOSTS = (
    host("any", "*"),
    host("web", "web", "web:80"),
    host("web-8080", "web:8080"),
    host("example", "*.example.com", "*.example.com:80"),
    host("api", "*.api.example.com"),
    host("begins", "web.*"),
)


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (Request("web"), "web"),
        (Request("WEB", 80), "web"),
        (Request("web", 8080), "web-8080"),
        (Request("web", 9090), "any"),
        (Request("a.example.com"), "example"),
        (Request("a.example.com", 80), "example"),
        (Request("a.api.example.com"), "api"),
        (Request(".example.com"), "any"),
        (Request("web.other"), "begins"),
        (Request("10.0.0.1", 8080, headers=(("Host", "web"),)), "web"),
    ],
)
def test_a_request_takes_the_most_specific_domain(request_: Request, found: str) -> None:
    chosen = virtual_host_of(domains_of(HOSTS), request_)
    assert chosen is not None
    assert chosen.service == found


def test_without_a_domain_there_is_no_host() -> None:
    assert virtual_host_of(domains_of(HOSTS[1:]), Request("other", 8080)) is None


@pytest.mark.parametrize(
    ("kind", "value", "text", "expected"),
    [
        ("exact", "/a", "/a", True),
        ("exact", "/a", "/A", False),
        ("prefix", "/a", "/ab", True),
        ("segments", "/a", "/ab", False),
        ("segments", "/a", "/a/b", True),
        ("segments", "/a/", "/a", True),
        ("segments", "/", "/x", True),
        ("suffix", ".png", "/x.png", True),
        ("regex", "/a.", "/ab", True),
        ("regex", "/a.", "/abc", False),
        ("present", "", "", False),
        ("present", "", "x", True),
    ],
)
def test_conditions_on_a_text(kind: MatchKind, value: str, text: str, expected: bool) -> None:
    assert text_holds(StringMatch(kind, value), text) is expected


def test_case_is_ignored_where_the_match_says_so() -> None:
    assert text_holds(StringMatch("exact", "/A", ignore_case=True), "/a")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a", "a"),
        ("[a&&b]", "a"),
        ("[a[b]", "a"),
        (r"\d", "\u0663"),
        ("a{99999999999}", "a"),
        ("(" * 5000, "a"),
    ],
)
def test_a_regular_expression_that_is_read_in_two_ways_or_in_none_is_not_known(
    pattern: str, text: str
) -> None:
    with pytest.raises(NotKnown, match="regular expression"):
        text_holds(StringMatch("regex", pattern), text)


@pytest.mark.parametrize("pattern", ["/(a+)+", "/.*a.*a.*a.*a.*a.*a.*a.*a.*a.*b", "/(a|a|.)*b"])
def test_a_regular_expression_on_which_others_run_for_hours_is_evaluated(pattern: str) -> None:
    assert not text_holds(StringMatch("regex", pattern), "/" + 1500 * "a" + "!")
    with pytest.raises(NotKnown, match="9000001 characters"):
        text_holds(StringMatch("regex", pattern), "/" + 9_000_000 * "a")


def test_the_whole_text_has_to_match_each_alternative() -> None:
    assert text_holds(StringMatch("regex", "/a|/b"), "/b")
    assert not text_holds(StringMatch("regex", "/a|/b"), "/bc")
    assert not text_holds(StringMatch("regex", "/a"), "/a\n")


def test_a_text_known_by_its_expression_only_meets_that_and_what_meets_all() -> None:
    text = Matching("/a[0-9]+")
    assert text_holds(StringMatch("regex", "/a[0-9]+"), text)
    assert text_holds(StringMatch("prefix", "/"), text)
    assert not text_holds(StringMatch("prefix", "/a"), text)


def test_an_inverted_condition_takes_a_missing_header_as_empty() -> None:
    without = NamedMatch("x-user", StringMatch("exact", "jason"), invert=True)
    empty = NamedMatch("x-user", StringMatch("exact", ""), invert=True)
    absent = NamedMatch("x-user", StringMatch("present"), invert=True)
    plain = Request("web")
    assert holds(Match(headers=(without,)), plain)
    assert not holds(Match(headers=(empty,)), plain)
    assert holds(Match(headers=(absent,)), plain)
    assert not holds(Match(headers=(absent,)), Request("web", headers=(("X-User", ""),)))


def test_all_conditions_of_a_match_must_hold_and_the_first_route_is_taken() -> None:
    match = Match(
        path=StringMatch("prefix", "/api"),
        method=StringMatch("exact", "GET"),
        headers=(NamedMatch(":authority", StringMatch("exact", "web:8080")),),
        query=(NamedMatch("v", StringMatch("exact", "2")),),
    )
    special, rest = Route("special", (match,)), Route("rest", (Match(),))
    virtual = VirtualHost("web", 8080, ("web:8080",), (special, rest))
    asked = Request("web", 8080, path="/api/x", query=(("v", "2"), ("v", "3")))
    assert route_of(virtual, asked) == Taken(special, match)
    assert route_of(virtual, Request("web", 8080, path="/api/x")) == Taken(rest, Match())
    assert route_of(VirtualHost("web", 8080, (), (special,)), Request("web", 8080)) is None


def test_the_server_gets_the_rewritten_request() -> None:
    match = Match(StringMatch("prefix", "/api"))
    edits = HeaderEdits(set=(("x-b", "2"),), remove=("x-a",), authority="inner")
    route = Route("r", (match,), rewrite=Rewrite(prefix="/v1"), request_headers=edits)
    asked = Request("web", 8080, path="/api/x", headers=(("X-A", "1"), ("X-B", "1")))
    got = sent(asked, Taken(route, match))
    assert (got.path, got.authority, got.header("x-a"), got.header("x-b")) == ("/v1/x", "inner", None, "2")
    by_regex = Route("r", (Match(),), rewrite=Rewrite(regex=("^/api/*", "/")))
    assert sent(asked, Taken(by_regex, Match())).path == "/x"


def policy(name: str, *sources: Condition, operations: tuple[Condition, ...] = ()) -> Policy:
    return Policy(name, (Rule((sources,), (operations,)),))


def identity(value: StringMatch, *, inverted: bool = False) -> Condition:
    return Condition("identity", (value,), inverted=inverted)


ADMIN = Condition("path", (StringMatch("prefix", "/admin"),))
DENY_ADMIN = policy("shop/no-admin", operations=(ADMIN,))
ALLOW_CLIENT = policy("shop/clients", identity(StringMatch("exact", CLIENT)))


@pytest.mark.parametrize(
    ("rules", "path", "sender", "status", "by"),
    [
        (Authorization(), "/", Sender(None), None, ""),
        (Authorization((DENY_ADMIN,)), "/admin", Sender(CLIENT), 403, "shop/no-admin"),
        (Authorization((DENY_ADMIN,)), "/", Sender(CLIENT), None, ""),
        (Authorization(allow=(ALLOW_CLIENT,)), "/", Sender(CLIENT), None, "shop/clients"),
        (Authorization(allow=(ALLOW_CLIENT,)), "/", Sender(None), 403, ""),
        (Authorization(allow=()), "/", Sender(CLIENT), 403, ""),
        (
            Authorization((policy("d", identity(StringMatch("exact", CLIENT), inverted=True)),)),
            "/",
            Sender(None),
            403,
            "d",
        ),
        (
            Authorization(
                allow=(policy("net", Condition("source_ip", (StringMatch("exact", "10.0.0.0/8"),))),)
            ),
            "/",
            Sender(None, "10.1.2.3"),
            None,
            "net",
        ),
        (
            Authorization(allow=(policy("jwt", Condition("nothing", (StringMatch("present"),))),)),
            "/",
            Sender(CLIENT),
            403,
            "",
        ),
    ],
)
def test_deny_goes_before_allow(
    rules: Authorization, path: str, sender: Sender, status: int | None, by: str
) -> None:
    inbound = Inbound(8080, "strict", (InboundRoute(authorization=rules),))
    assert decide(inbound, Request("web", path=path), sender) == (status, by)


def test_a_server_answers_itself_where_no_route_takes_the_request() -> None:
    inbound = Inbound(8080, "permissive", (InboundRoute("a", Match(StringMatch("exact", "/a"))),))
    assert decide(inbound, Request("web"), Sender(None)).status == 404
    told = Inbound(8080, "permissive", (InboundRoute("not-found", status=404),))
    assert decide(told, Request("web"), Sender(None)) == (404, "not-found")


def test_an_unknown_address_is_not_known() -> None:
    rule = policy("net", Condition("source_ip", (StringMatch("exact", "10.0.0.0/8"),)))
    inbound = Inbound(8080, "permissive", (InboundRoute(authorization=Authorization(allow=(rule,))),))
    with pytest.raises(NotKnown, match="address"):
        decide(inbound, Request("web"), Sender(CLIENT))


@pytest.mark.parametrize(
    ("pattern", "substitution"),
    [
        ("(", ""),
        ("/", r"\g<2>"),
        ("/", r"\g<x>"),
        ("a{99999999999}", ""),
        ("(" * 5000 + ")" * 5000, ""),
        ("(a+)+b", ""),
        ("/.*/.*/.*/.*/.*b", ""),
    ],
)
def test_a_rewrite_that_cannot_be_evaluated_at_once_is_not_known(pattern: str, substitution: str) -> None:
    rewritten = Route("r", (Match(),), rewrite=Rewrite(regex=(pattern, substitution)))
    asked = Request("web", path="/" + "a/" * 200)
    with pytest.raises(NotKnown, match="rewrite of the path"):
        sent(asked, Taken(rewritten, Match()))
