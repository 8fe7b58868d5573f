"""kubectl asks for everything that a user may."""

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
