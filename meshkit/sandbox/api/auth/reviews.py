"""Review requests about users, which are answered but not stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.auth.rights import Attempt, Rights
from meshkit.sandbox.api.auth.users import ISSUER, Tokens, User


class Reviews:
    """Answer TokenReview, SelfSubjectReview and the access reviews."""

    def __init__(self, rights: Rights, tokens: Tokens) -> None:
        self._rights = rights
        self._tokens = tokens

    def answer(self, kind: str, review: Mapping[str, Any], user: User) -> dict[str, Any]:
        """Return the review with its status filled in."""
        spec = review.get("spec") or {}
        if kind == "SelfSubjectReview":
            review_status: dict[str, Any] = {"userInfo": user.info()}
        elif kind == "TokenReview":
            review_status = self._token(spec)
        elif kind == "SelfSubjectRulesReview":
            review_status = self._all(spec, user)
        else:
            review_status = self._access(kind, spec, user)
        return {**review, "status": review_status}

    def _token(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        wanted = spec.get("audiences") or [ISSUER]
        owner, audiences = self._tokens.review(spec.get("token", ""), wanted)
        if owner is None:
            return {"user": {}, "error": "invalid bearer token"}
        if not audiences:
            error = (
                f"token audiences are invalid for the target audiences [{' '.join(map(json.dumps, wanted))}]"
            )
            return {"user": {}, "error": error}
        return {"authenticated": True, "user": owner.info(), "audiences": audiences}

    def _all(self, spec: Mapping[str, Any], user: User) -> dict[str, Any]:
        namespace = spec.get("namespace")
        if not namespace:
            raise status.bad_request("no namespace on request")
        rules = self._rights.all_of(user, namespace)
        return {
            "resourceRules": [dict(rule) for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [dict(rule) for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }

    def _access(self, kind: str, spec: Mapping[str, Any], user: User) -> dict[str, Any]:
        if kind == "SubjectAccessReview":
            user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
        target = spec.get("resourceAttributes")
        if target is None:
            if "nonResourceAttributes" not in spec:
                raise status.bad_request(
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified"
                )
            target = {
                "verb": spec["nonResourceAttributes"].get("verb", ""),
                "resource": "*",
                "group": "*",
            }
        resource = target.get("resource", "")
        if target.get("subresource"):
            resource = f"{resource}/{target['subresource']}"
        attempt = Attempt(
            target.get("verb", ""),
            target.get("group", ""),
            resource,
            target.get("namespace", ""),
            target.get("name", ""),
        )
        return {"allowed": self._rights.allows(user, attempt)}
