"""Who may write roles may not give himself, or another, what he does not have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshkit.sandbox.api.auth import escalation
from meshkit.sandbox.api.auth.users import AUTHENTICATED, User, account_groups
from meshkit.sandbox.api.requests import Options
from meshkit.sandbox.api.status import ApiError

RBAC = "rbac.authorization.k8s.io"
BOB = User("system:serviceaccount:default:bob", (*account_groups("default"), AUTHENTICATED))
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
MANAGES_ROLES = {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create"]}


def held(api: Any, *rules: dict[str, Any]) -> None:
    """What bob has in the namespace ``default``."""
    subject = {"kind": "ServiceAccount", "name": "bob", "namespace": "default"}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "bobs"}

    async def given() -> None:
        await api.client.create(f"clusterroles.{RBAC}", {"metadata": {"name": "bobs"}, "rules": list(rules)})
        meta = {"name": "bobs", "namespace": "default"}
        binding = {"metadata": meta, "roleRef": reference, "subjects": [subject]}
        await api.client.create(f"rolebindings.{RBAC}", binding)

    asyncio.run(given())


def role(api: Any, *rules: dict[str, Any], kind: str = "Role", **more: Any) -> Any:
    """Bob creates a role."""
    obj = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": "r"}, "rules": list(rules), **more}
    target = api.target(f"{kind.lower()}s.{RBAC}", "r")
    return asyncio.run(api.writes.create(target, obj, Options(BOB, "test")))


def binding(api: Any, name: str, kind: str = "Role") -> Any:
    """Bob binds a role to himself."""
    obj = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "bob", "namespace": "default"}],
    }
    return asyncio.run(api.writes.create(api.target(f"rolebindings.{RBAC}", "b"), obj, Options(BOB, "test")))


def test_a_role_may_give_what_its_writer_has(api: Any) -> None:
    held(api, MANAGES_ROLES, PODS)
    role(api, PODS, {"nonResourceURLs": ["/version"], "verbs": ["get"]})
    binding(api, "r")


def test_a_role_that_gives_more_is_refused_in_kubernetes_words(api: Any) -> None:
    held(api, MANAGES_ROLES, PODS)
    with pytest.raises(ApiError) as refused:
        role(api, PODS, SECRETS)
    assert refused.value.code == 403
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "system:serviceaccount:default:bob" '
        '(groups=["system:serviceaccounts" "system:serviceaccounts:default" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )


def test_an_update_is_held_to_the_same(api: Any) -> None:
    held(api, MANAGES_ROLES, PODS)
    role(api, PODS)
    patch = {"rules": [SECRETS]}
    with pytest.raises(ApiError, match="not currently held"):
        asyncio.run(api.writes.patch(api.target(f"roles.{RBAC}", "r"), "merge", patch, Options(BOB, "test")))


def test_the_collector_may_take_a_finalizer_off_whatever_a_role_gives(api: Any) -> None:
    held(api, MANAGES_ROLES)
    powerful = {"metadata": {"name": "r", "namespace": "default", "finalizers": ["a/b"]}, "rules": [SECRETS]}
    asyncio.run(api.client.create(f"roles.{RBAC}", powerful))
    target, patch = api.target(f"roles.{RBAC}", "r"), {"metadata": {"finalizers": None}}
    assert asyncio.run(api.writes.patch(target, "merge", patch, Options(BOB, "test")))


def test_binding_a_role_that_gives_more_is_refused_and_one_that_is_not_there_is_404(api: Any) -> None:
    held(api, MANAGES_ROLES)
    asyncio.run(
        api.client.create(f"clusterroles.{RBAC}", {"metadata": {"name": "strong"}, "rules": [SECRETS]})
    )
    with pytest.raises(ApiError, match="not currently held") as refused:
        binding(api, "strong", "ClusterRole")
    assert refused.value.code == 403
    with pytest.raises(ApiError, match=r'roles\.rbac\.authorization\.k8s\.io "none" not found') as missing:
        binding(api, "none")
    assert missing.value.code == 404


@pytest.mark.parametrize(
    ("verb", "resource", "names"),
    [("escalate", "roles", None), ("bind", "clusterroles", ["strong"])],
)
def test_escalate_and_bind_lift_the_check(
    api: Any, verb: str, resource: str, names: list[str] | None
) -> None:
    lifted = {"apiGroups": [RBAC], "resources": [resource], "verbs": [verb]}
    held(api, MANAGES_ROLES, lifted | ({"resourceNames": names} if names else {}))
    strong = {"metadata": {"name": "strong"}, "rules": [SECRETS]}
    asyncio.run(api.client.create(f"clusterroles.{RBAC}", strong))
    if verb == "escalate":
        role(api, SECRETS)
        with pytest.raises(ApiError, match="not currently held"):
            binding(api, "r")
    else:
        with pytest.raises(ApiError, match="not currently held"):
            role(api, SECRETS)
        binding(api, "strong", "ClusterRole")


def rule(verbs: str, resources: str = "", **more: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"verbs": verbs.split(), **more}
    return found | (
        {"apiGroups": more.get("apiGroups", [""]), "resources": resources.split()} if resources else {}
    )


@pytest.mark.parametrize(
    ("having", "wanted", "covered"),
    [
        (rule("*", "*", apiGroups=["*"]), rule("get", "pods/log"), True),
        (rule("get", "pods"), rule("get", "pods", resourceNames=["a"]), True),
        (rule("get", "pods", resourceNames=["a", "b"]), rule("get", "pods", resourceNames=["a"]), True),
        (rule("get", "pods", resourceNames=["a"]), rule("get", "pods"), False),
        (rule("get", "*/scale"), rule("get", "deployments/scale"), True),
        (rule("get", "pods"), rule("get", "pods/log"), False),
        (rule("get", "pods"), rule("get", "pods", apiGroups=["apps"]), False),
        (rule("get", nonResourceURLs=["/apis/*"]), rule("get", nonResourceURLs=["/apis/apps"]), True),
        (rule("get", nonResourceURLs=["/apis"]), rule("get", nonResourceURLs=["/apis/*"]), False),
        (rule("get", "*", apiGroups=["*"]), rule("*", "pods"), False),
    ],
)
def test_a_right_is_covered_by_one_at_least_as_wide(
    having: dict[str, Any], wanted: dict[str, Any], covered: bool
) -> None:
    assert (escalation.uncovered([having], [wanted]) == []) is covered


def test_a_cluster_role_that_gathers_others_gives_everything(api: Any) -> None:
    held(api, MANAGES_ROLES, PODS)
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    with pytest.raises(ApiError, match=r'\{APIGroups:\["\*"\], Resources:\["\*"\], Verbs:\["\*"\]\}'):
        role(api, kind="ClusterRole", aggregationRule=gathers)


def test_a_rule_of_a_thousand_million_rights_is_compared_as_a_whole_or_refused(api: Any) -> None:
    many = [f"x{n}" for n in range(1_000)]
    wanted = {"verbs": many, "apiGroups": many, "resources": many}
    role = {"metadata": {"name": "r", "namespace": "default"}, "rules": [wanted]}
    held(api, MANAGES_ROLES)
    with pytest.raises(ApiError, match="more than 10000 single RBAC permissions"):
        asyncio.run(api.writes.create(api.target(f"roles.{RBAC}"), role, Options(BOB, "test")))
    others = [dict(wanted, verbs=["*"]), dict(wanted, resources=["*"])]
    for having in (wanted, *others):
        grant = escalation.Grant(admission=None, held=[having], wanted=[wanted])  # type: ignore[arg-type]
        grant.check()
