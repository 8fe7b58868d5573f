"""Impersonation: users, groups, uids, extras and service accounts are each authorized."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind

AUTHENTICATED = "system:authenticated"
AUTHENTICATION = "authentication.k8s.io"
RBAC = "rbac.authorization.k8s.io/v1"
ROLE, BINDING = Kind(RBAC, "ClusterRole"), Kind(RBAC, "ClusterRoleBinding")
Headers = Sequence[tuple[str, str]]
ALICE = ("Impersonate-User", "alice")


class Clerk:
    """A service account that asks an API server directly, with the headers that a test wants."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, namespace: str) -> None:
        entry = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        if "certificate-authority-data" in entry:
            authority = base64.b64decode(entry["certificate-authority-data"]).decode()
        else:
            authority = Path(entry["certificate-authority"]).read_text()
        self._http = urllib3.PoolManager(ca_cert_data=authority, retries=False)
        self._server = entry["server"]
        self._api = cluster.api
        self._name = f"clerk-{secrets.token_hex(4)}"
        self.namespace = namespace
        meta = {"name": "clerk", "namespace": namespace}
        self._api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}, manager="test")
        self._token = self._api.token(namespace, "clerk")

    def may(self, *rules: dict[str, Any]) -> None:
        """Give the account these rights in the whole cluster, and no other."""
        meta = {"name": self._name}
        role = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": meta, "rules": list(rules)}
        binding = {
            "apiVersion": RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self._name},
            "subjects": [{"kind": "ServiceAccount", "name": "clerk", "namespace": self.namespace}],
        }
        for each in (role, binding):
            self._api.apply(each, manager="test")

    def forget(self) -> None:
        """Take the rights back."""
        for kind in (BINDING, ROLE):
            self._api.delete(kind, self._name)

    def asks_who_it_is(self, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        """The code and the user, or the Status, of a SelfSubjectReview."""
        path = f"/apis/{AUTHENTICATION}/v1/selfsubjectreviews"
        body = {"apiVersion": f"{AUTHENTICATION}/v1", "kind": "SelfSubjectReview"}
        code, answer = self._ask("POST", path, headers, body)
        return code, answer["status"]["userInfo"] if code == 201 else answer

    def asks_for(self, path: str, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        """The code and the answer of a GET."""
        return self._ask("GET", path, headers, None)

    def _ask(
        self, method: str, path: str, headers: Headers, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        sent = urllib3.HTTPHeaderDict({"Authorization": f"Bearer {self._token}"})
        for name, value in headers:
            sent.add(name, value)
        answer = self._http.request(method, f"{self._server}{path}", headers=sent, json=body)
        return answer.status, answer.json()


@pytest.fixture
def clerk(cluster: Cluster, kubeconfig: Path, namespace: str) -> Iterator[Clerk]:
    found = Clerk(cluster, kubeconfig, namespace)
    yield found
    found.forget()


def impersonate(resource: str, *names: str, group: str = "", verb: str = "impersonate") -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
    return {**rule, "resourceNames": list(names)} if names else rule


USERS = impersonate("users", "alice")


@pytest.mark.parametrize(
    ("rules", "headers"),
    [
        ([], [ALICE]),
        ([USERS], [("Impersonate-User", "bob")]),
        ([USERS], [ALICE, ("Impersonate-Group", "system:masters")]),
        ([USERS, impersonate("groups", "readers")], [ALICE, ("Impersonate-Group", "system:masters")]),
        (
            [USERS, impersonate("groups", "readers")],
            [ALICE, ("Impersonate-Group", "readers"), ("Impersonate-Group", "writers")],
        ),
        (
            [USERS, impersonate("groups", "readers", group=AUTHENTICATION)],
            [ALICE, ("Impersonate-Group", "readers")],
        ),
        ([USERS], [ALICE, ("Impersonate-Uid", "7")]),
        ([USERS, impersonate("uids", "7")], [ALICE, ("Impersonate-Uid", "7")]),
        ([USERS], [ALICE, ("Impersonate-Extra-scopes", "view")]),
        (
            [USERS, impersonate("userextras/scopes", "view", group=AUTHENTICATION)],
            [ALICE, ("Impersonate-Extra-scopes", "edit")],
        ),
        (
            [USERS, impersonate("userextras", group=AUTHENTICATION)],
            [ALICE, ("Impersonate-Extra-scopes", "view")],
        ),
        ([impersonate("users")], [("Impersonate-User", "system:serviceaccount:default:default")]),
    ],
)
def test_each_part_of_another_user_needs_a_right(
    clerk: Clerk, rules: list[dict[str, Any]], headers: list[tuple[str, str]]
) -> None:
    clerk.may(*rules)
    code, answer = clerk.asks_who_it_is(*headers)
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert f'User "system:serviceaccount:{clerk.namespace}:clerk" cannot impersonate' in answer["message"]


@pytest.mark.parametrize(
    ("rules", "headers", "expected"),
    [
        ([USERS], [ALICE], {"username": "alice", "groups": [AUTHENTICATED]}),
        (
            [USERS, impersonate("groups", "readers", "writers")],
            [ALICE, ("Impersonate-Group", "readers"), ("Impersonate-Group", "writers")],
            {"username": "alice", "groups": ["readers", "writers", AUTHENTICATED]},
        ),
        (
            [USERS, impersonate("groups", AUTHENTICATED)],
            [ALICE, ("Impersonate-Group", AUTHENTICATED)],
            {"username": "alice", "groups": [AUTHENTICATED]},
        ),
        (
            [
                USERS,
                impersonate("uids", "7", group=AUTHENTICATION),
                impersonate("userextras/scopes", "view", "edit", group=AUTHENTICATION),
                impersonate("userextras/example.com/team", "blue", group=AUTHENTICATION),
            ],
            [
                ALICE,
                ("Impersonate-Uid", "7"),
                ("Impersonate-Extra-Scopes", "view"),
                ("Impersonate-Extra-Scopes", "edit"),
                ("Impersonate-Extra-example.com%2Fteam", "blue"),
            ],
            {
                "username": "alice",
                "uid": "7",
                "groups": [AUTHENTICATED],
                "extra": {"scopes": ["view", "edit"], "example.com/team": ["blue"]},
            },
        ),
        (
            [impersonate("serviceaccounts", "default")],
            [("Impersonate-User", "system:serviceaccount:shop:default")],
            {
                "username": "system:serviceaccount:shop:default",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", AUTHENTICATED],
            },
        ),
        (
            [impersonate("serviceaccounts", "default"), impersonate("groups", "readers")],
            [("Impersonate-User", "system:serviceaccount:shop:default"), ("Impersonate-Group", "readers")],
            {"username": "system:serviceaccount:shop:default", "groups": ["readers", AUTHENTICATED]},
        ),
        (
            [impersonate("users", "system:anonymous")],
            [("Impersonate-User", "system:anonymous")],
            None,  # may not even ask who it is
        ),
        (
            [
                impersonate("users", "alice", group=AUTHENTICATION, verb="impersonate:user-info"),
                impersonate(
                    "selfsubjectreviews", group=AUTHENTICATION, verb="impersonate-on:user-info:create"
                ),
            ],
            [ALICE],
            {"username": "alice", "groups": [AUTHENTICATED]},
        ),
    ],
)
def test_whoever_has_the_rights_is_that_user(
    clerk: Clerk,
    rules: list[dict[str, Any]],
    headers: list[tuple[str, str]],
    expected: dict[str, Any] | None,
) -> None:
    clerk.may(*rules)
    code, user = clerk.asks_who_it_is(*headers)
    if expected is None:
        assert code == 403
        assert 'User "system:anonymous" cannot create' in user["message"]
    else:
        assert (code, user) == (201, expected)


@pytest.mark.parametrize(
    "header",
    [("Impersonate-Group", "readers"), ("Impersonate-Uid", "7"), ("Impersonate-Extra-scopes", "view")],
)
def test_groups_uids_and_extras_need_a_user(clerk: Clerk, header: tuple[str, str]) -> None:
    clerk.may(impersonate("*", group="*"))
    code, answer = clerk.asks_who_it_is(header)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert "without impersonating a user" in answer["message"]


def test_a_group_of_another_user_gives_its_rights_and_no_more(clerk: Clerk) -> None:
    secret = f"/api/v1/namespaces/{clerk.namespace}/secrets"
    clerk.may(USERS)
    assert clerk.asks_for(secret, ALICE, ("Impersonate-Group", "system:masters"))[0] == 403
    clerk.may(USERS, impersonate("groups", "system:masters"))
    assert clerk.asks_for(secret, ALICE)[0] == 403
    assert clerk.asks_for(secret, ALICE, ("Impersonate-Group", "system:masters"))[0] == 200
