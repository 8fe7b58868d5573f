"""kubectl lists the rights of a user, and no user can grant rights that it does not have."""

from __future__ import annotations

from tests.contract.kubectl import Kubectl


def test_everything_that_a_user_may_is_listed(kubectl: Kubectl) -> None:
    reader = f"system:serviceaccount:{kubectl.namespace}:reader"
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader"
    )
    listed = kubectl("auth", "can-i", "--list", f"--as={reader}")
    assert "configmaps" in listed
    assert "selfsubjectrulesreviews.authorization.k8s.io" in listed
    assert "[/version]" in listed
    assert "secrets" not in listed


def test_nobody_gives_away_what_he_does_not_have(kubectl: Kubectl) -> None:
    space = kubectl.namespace
    clerk = f"system:serviceaccount:{space}:clerk"
    kubectl("create", "serviceaccount", "clerk")
    resources = "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io"
    kubectl("create", "role", "clerk", "--verb=create,get,list", f"--resource={resources},configmaps")
    kubectl("create", "rolebinding", "clerk", "--role=clerk", f"--serviceaccount={space}:clerk")
    kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps", f"--as={clerk}")
    refused = kubectl.refused(
        "create", "role", "thief", "--verb=get,list", "--resource=secrets", f"--as={clerk}"
    )
    assert f'roles.rbac.authorization.k8s.io "thief" is forbidden: user "{clerk}" (groups=[' in refused
    assert "is attempting to grant RBAC permissions not currently held:" in refused
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}' in refused
    kubectl("create", "role", "strong", "--verb=get", "--resource=secrets")
    bind = (
        "create",
        "rolebinding",
        "thief",
        "--role=strong",
        f"--serviceaccount={space}:clerk",
        f"--as={clerk}",
    )
    assert "not currently held" in kubectl.refused(*bind)
    kubectl("create", "role", "binder", "--verb=bind", "--resource=roles.rbac.authorization.k8s.io",
            "--resource-name=strong")  # fmt: skip
    kubectl("create", "rolebinding", "binder", "--role=binder", f"--serviceaccount={space}:clerk")
    kubectl(*bind)
