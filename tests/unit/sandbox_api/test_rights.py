"""Tokens and role-based access."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshkit.sandbox.api.auth.reviews import Reviews
from meshkit.sandbox.api.auth.rights import Attempt, Rights
from meshkit.sandbox.api.auth.users import ADMIN, AUTHENTICATED, ISSUER, Tokens, User, account_groups
from meshkit.sandbox.api.status import ApiError

RBAC = "rbac.authorization.k8s.io"
BOB = User("system:serviceaccount:default:bob", (*account_groups("default"), AUTHENTICATED))


def grant(api: Any, rules: list[dict[str, Any]], *, cluster_wide: bool = False) -> Rights:
    async def run() -> None:
        prefix = "cluster" if cluster_wide else ""
        role = "ClusterRole" if cluster_wide else "Role"
        await api.client.create(f"{prefix}roles.{RBAC}", {"metadata": {"name": "r"}, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": "bob", "namespace": "default"}
        binding = {"metadata": {"name": "b"}, "roleRef": {"kind": role, "name": "r"}, "subjects": [subject]}
        await api.client.create(f"{prefix}rolebindings.{RBAC}", binding)

    asyncio.run(run())
    return Rights(api.store)


def rule(verbs: str, resources: str, **more: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "verbs": verbs.split(), "resources": resources.split(), **more}


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (Attempt("get", "", "pods", "default", "p"), True),
        (Attempt("get", "", "pods", "other", "p"), False),
        (Attempt("list", "", "pods", ""), False),
        (Attempt("delete", "", "pods", "default", "p"), False),
        (Attempt("get", "", "pods/log", "default", "p"), True),
        (Attempt("get", "", "pods/proxy", "default", "p"), False),
        (Attempt("get", "apps", "pods", "default", "p"), False),
        (Attempt("get", "", "secrets", "default", "mine"), True),
        (Attempt("get", "", "secrets", "default", "yours"), False),
    ],
)
def test_a_role_allows_what_its_rules_say_and_nothing_else(
    api: Any, attempt: Attempt, expected: bool
) -> None:
    rules = [rule("get list", "pods pods/log"), rule("get", "secrets", resourceNames=["mine"])]
    assert grant(api, rules).allows(BOB, attempt) is expected


def test_a_cluster_role_binding_reaches_everywhere(api: Any) -> None:
    rights = grant(api, [rule("*", "*")], cluster_wide=True)
    assert rights.allows(BOB, Attempt("delete", "", "pods", "anywhere", "p"))
    assert rights.allows(BOB, Attempt("list", "", "pods"))
    assert not rights.allows(User("system:serviceaccount:other:bob"), Attempt("list", "", "pods"))


def test_a_refusal_names_user_verb_resource_and_place(api: Any) -> None:
    with pytest.raises(ApiError) as refused:
        Rights(api.store).require(BOB, Attempt("list", "apps", "deployments", "default"))
    assert refused.value.code == 403
    assert refused.value.message == (
        'deployments.apps is forbidden: User "system:serviceaccount:default:bob" cannot list resource '
        '"deployments" in API group "apps" in the namespace "default"'
    )


def test_everybody_may_ask_about_himself(api: Any) -> None:
    attempt = Attempt("create", "authorization.k8s.io", "selfsubjectaccessreviews")
    assert Rights(api.store).allows(BOB, attempt)


def tokens(uid: str | None = "u1", pod: str | None = "u2") -> Tokens:
    uids = {"serviceaccounts": uid, "pods": pod}
    return Tokens("secret", b"key", lambda resource, namespace, name: uids[resource])


def test_tokens_say_who_holds_them() -> None:
    assert tokens().user("secret") == ADMIN
    token = tokens().issue("default", "bob", "u1", 60, {"name": "p", "uid": "u2"})
    user = tokens().user(token)
    assert user is not None
    assert (user.name, user.groups) == (BOB.name, BOB.groups)
    assert user.extra == {
        "authentication.kubernetes.io/pod-name": ("p",),
        "authentication.kubernetes.io/pod-uid": ("u2",),
    }


@pytest.mark.parametrize("spoil", [lambda t: t[:-2] + "xx", lambda t: "a.b.c", lambda t: "", lambda t: "é"])
def test_a_token_of_another_hand_is_refused(spoil: Any) -> None:
    assert tokens().user(spoil(tokens().issue("default", "bob", "u1", 60))) is None


def test_a_token_ends_with_its_time_its_account_and_its_key() -> None:
    assert tokens().user(tokens().issue("default", "bob", "u1", -1)) is None
    valid = tokens().issue("default", "bob", "u1", 60)
    assert tokens(uid="u9").user(valid) is None
    assert tokens(uid=None).user(valid) is None
    assert Tokens("secret", b"other", lambda *_: "u1").user(valid) is None


@pytest.mark.parametrize("pod", [None, "u9"])
def test_a_token_ends_with_the_pod_that_it_is_bound_to(pod: str | None) -> None:
    token = tokens().issue("default", "bob", "u1", 60, {"name": "p", "uid": "u2"})
    assert tokens(pod=pod).user(token) is None
    unbound = tokens().issue("default", "bob", "u1", 60)
    assert tokens(pod=pod).user(unbound) is not None


def test_a_token_is_good_for_its_audiences_only() -> None:
    other = tokens().issue("default", "bob", "u1", 60, audiences=["istio-ca", "vault"])
    assert tokens().user(other) is None

    def review(token: str, *audiences: str) -> dict[str, Any]:
        spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        reviews = Reviews(None, tokens())  # type: ignore[arg-type]
        answer: dict[str, Any] = reviews.answer("TokenReview", {"spec": spec}, BOB)["status"]
        return answer

    assert review(other, "vault", "another")["audiences"] == ["vault"]
    for refused in (review(other), review("secret", "vault"), review(other, "another")):
        assert not refused.get("authenticated")
        assert "invalid for the target audiences" in refused["error"]
    assert review("secret")["audiences"] == [ISSUER]


def test_everything_that_a_user_may_can_be_listed(api: Any) -> None:
    rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
    rights = grant(api, [rule])
    tokens = Tokens("admin", b"key", lambda *_: None)
    review = {"spec": {"namespace": "default"}}
    found = Reviews(rights, tokens).answer("SelfSubjectRulesReview", review, BOB)["status"]
    assert rule in found["resourceRules"]
    assert not found["incomplete"]
    assert "/version" in found["nonResourceRules"][0]["nonResourceURLs"]
    other = Reviews(rights, tokens).answer("SelfSubjectRulesReview", {"spec": {"namespace": "other"}}, BOB)
    assert rule not in other["status"]["resourceRules"]
    with pytest.raises(ApiError, match="no namespace"):
        Reviews(rights, tokens).answer("SelfSubjectRulesReview", {"spec": {}}, BOB)
