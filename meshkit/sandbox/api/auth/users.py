"""Users and their bearer tokens.

The administrator has a fixed token. A service account's token is a JWT (HS256) signed with the sandbox's own
key, with the claims that Kubernetes sets. It is good for its audiences only, and ends with its account and
with the pod that it is bound to, because each request compares their uids.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping
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


def is_node(user: User) -> bool:
    """Return whether a user is a node of the sandbox or the sandbox itself."""
    return user == SYSTEM or user.name.startswith("system:node:")


def account_groups(namespace: str) -> tuple[str, str]:
    """Return the groups that every ServiceAccount of a namespace belongs to."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


class Tokens:
    """Issue and verify tokens.

    ``uid_of`` maps the resource (``serviceaccounts`` or ``pods``), the namespace and the name of an object to
    its uid, or to None if there is no such object.
    """

    def __init__(
        self, admin_token: str, signing_key: bytes, uid_of: Callable[[str, str, str], str | None]
    ) -> None:
        self._admin_token = admin_token
        self._key = signing_key
        self._uid_of = uid_of

    def user(self, token: str) -> User | None:
        """Return the user of a bearer token for the API server, or None when the token is not valid.

        A token is invalid when its signature is wrong, it has expired, it is for others than the API server,
        or its account or pod no longer exists.
        """
        owner, audiences = self.review(token)
        return owner if audiences else None

    def review(self, token: str, wanted: Collection[str] = (ISSUER,)) -> tuple[User | None, list[str]]:
        """Return the user of a token and which of the ``wanted`` audiences it is for."""
        if not token.isascii():  # a header may contain any byte
            return None, []
        if hmac.compare_digest(token.encode(), self._admin_token.encode()):
            return ADMIN, [each for each in wanted if each == ISSUER]
        claims = self._claims(token)
        if claims is None or claims["exp"] < time.time():
            return None, []
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        if self._uid_of("serviceaccounts", namespace, account["name"]) != account["uid"]:
            return None, []
        groups = (*account_groups(namespace), AUTHENTICATED)
        extra = {}
        if pod := bound.get("pod"):
            if self._uid_of("pods", namespace, pod["name"]) != pod["uid"]:
                return None, []
            extra["authentication.kubernetes.io/pod-name"] = (pod["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["uid"],)
        user = User(f"system:serviceaccount:{namespace}:{account['name']}", groups, account["uid"], extra)
        return user, [each for each in wanted if each in claims["aud"]]

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        lifetime_s: int,
        pod: Mapping[str, str] | None = None,
        audiences: Collection[str] = (ISSUER,),
    ) -> str:
        """Return a token for a service account, optionally bound to a pod ({name, uid})."""
        now = int(time.time())
        bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if pod:
            bound["pod"] = dict(pod)
        claims = {
            "aud": list(audiences),
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
