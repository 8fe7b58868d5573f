"""Users and their bearer tokens.

The administrator has a fixed token. A service account's token is a JWT (HS256) signed with the sandbox's own
key, with the claims that Kubernetes sets. Deleting the account invalidates its tokens, because each request
compares the account's uid.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ISSUER = "https://kubernetes.default.svc.cluster.local"
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class User:
    """Represent an authenticated user."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """Return the ``UserInfo`` of a review."""
        extra = {key: list(values) for key, values in self.extra.items()}
        return {
            "username": self.name,
            **({"uid": self.uid} if self.uid else {}),
            "groups": list(self.groups),
            **({"extra": extra} if extra else {}),
        }


ADMIN = User("sandbox-admin", (MASTERS, AUTHENTICATED))
SYSTEM = User("system:kube-controller-manager", (MASTERS, AUTHENTICATED))


def account_groups(namespace: str) -> tuple[str, str]:
    """Return the groups that every ServiceAccount of a namespace belongs to."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


class Tokens:
    """Issue and verify tokens.

    ``account_uid`` maps (namespace, name) of a ServiceAccount to its uid or None.
    """

    def __init__(
        self, admin_token: str, signing_key: bytes, account_uid: Callable[[str, str], str | None]
    ) -> None:
        self._admin_token = admin_token
        self._key = signing_key
        self._account_uid = account_uid

    def user(self, token: str) -> User | None:
        """Return the user of a bearer token, or None when the token is not valid.

        A token is invalid when its signature is wrong, it has expired, or its account no longer exists.
        """
        if not token.isascii():  # a header may contain any byte
            return None
        if hmac.compare_digest(token.encode(), self._admin_token.encode()):
            return ADMIN
        claims = self._claims(token)
        if claims is None or claims["exp"] < time.time():
            return None
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        if self._account_uid(namespace, account["name"]) != account["uid"]:
            return None
        groups = (*account_groups(namespace), AUTHENTICATED)
        extra = {}
        if "pod" in bound:
            extra["authentication.kubernetes.io/pod-name"] = (bound["pod"]["name"],)
        return User(f"system:serviceaccount:{namespace}:{account['name']}", groups, account["uid"], extra)

    def issue(
        self, namespace: str, name: str, uid: str, lifetime_s: int, pod: Mapping[str, str] | None = None
    ) -> str:
        """Return a token for a service account, optionally bound to a pod ({name, uid})."""
        now = int(time.time())
        bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if pod:
            bound["pod"] = dict(pod)
        claims = {
            "aud": [ISSUER],
            "exp": now + lifetime_s,
            "iat": now,
            "iss": ISSUER,
            "jti": secrets.token_hex(8),
            "kubernetes.io": bound,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        head = _encode(b'{"alg":"HS256","typ":"JWT"}') + "." + _encode(json.dumps(claims).encode())
        return head + "." + self._signature(head)

    def _signature(self, head: str) -> str:
        return _encode(hmac.new(self._key, head.encode(), hashlib.sha256).digest())

    def _claims(self, token: str) -> dict[str, Any] | None:
        head, _, signature = token.rpartition(".")
        if not head or not hmac.compare_digest(signature.encode(), self._signature(head).encode()):
            return None
        payload = head.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
