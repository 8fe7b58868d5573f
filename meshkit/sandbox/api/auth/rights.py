"""Role-based access control (RBAC) over the stored roles and bindings.

``system:masters`` may do everything. Every authenticated user may discover the API and review its own access,
like the ClusterRoles system:discovery and system:basic-user of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.auth.users import AUTHENTICATED, MASTERS, User
from meshkit.sandbox.api.storage.store import Key, Store

GROUP = "rbac.authorization.k8s.io"
_ABOUT_ONESELF = {
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
}
# The rules of the ClusterRoles system:discovery and system:basic-user, granted to every user.
_DEFAULT_RULES: tuple[Mapping[str, Any], ...] = (
    *(
        {"verbs": ["create"], "apiGroups": [group], "resources": [resource]}
        for group, resource in sorted(_ABOUT_ONESELF)
    ),
    {
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
                            "/openapi/*", "/readyz", "/version"],
    },
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """Describe the action that a user requests.

    ``resource`` includes the subresource after a slash (``pods/log``).
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class Rights:
    """Evaluate RBAC rules, read from the store on each call so that changes apply at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def require(self, user: User, attempt: Attempt) -> None:
        """Raise ApiError 403 unless the user may perform the action."""
        if self.allows(user, attempt):
            return
        scope = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
        why = (
            f'User "{user.name}" cannot {attempt.verb} resource "{attempt.resource}" '
            f'in API group "{attempt.group}" {scope}'
        )
        raise status.forbidden(attempt.resource.partition("/")[0], attempt.group, attempt.name, why)

    def allows(self, user: User, attempt: Attempt) -> bool:
        """Return whether the user may perform the action."""
        if MASTERS in user.groups:
            return True
        about_oneself = attempt.verb == "create" and (attempt.group, attempt.resource) in _ABOUT_ONESELF
        if about_oneself and AUTHENTICATED in user.groups:
            return True
        return any(_permits(rule, attempt) for rule in self._rules(user, attempt.namespace))

    def all_of(self, user: User, namespace: str) -> list[Mapping[str, Any]]:
        """Return every rule that applies to the user in a namespace, like ``kubectl auth can-i --list``."""
        return [*_DEFAULT_RULES, *self._rules(user, namespace)]

    def _rules(self, user: User, namespace: str) -> Iterator[Mapping[str, Any]]:
        for stored in self._store.objects(f"clusterrolebindings.{GROUP}"):
            if _names(stored.object, user, ""):
                yield from self._rules_of(stored.object["roleRef"], "")
        if not namespace:
            return
        for stored in self._store.objects(f"rolebindings.{GROUP}", namespace):
            if _names(stored.object, user, namespace):
                yield from self._rules_of(stored.object["roleRef"], namespace)

    def _rules_of(self, reference: Mapping[str, Any], namespace: str) -> Sequence[Mapping[str, Any]]:
        return (self.role(reference, namespace) or {}).get("rules") or ()

    def role(self, reference: Mapping[str, Any], namespace: str) -> Mapping[str, Any] | None:
        """Return the Role or ClusterRole that a binding in ``namespace`` refers to, or None."""
        cluster_wide = reference["kind"] == "ClusterRole"
        plural = "clusterroles" if cluster_wide else "roles"
        stored = self._store.get(
            Key(f"{plural}.{GROUP}", "" if cluster_wide else namespace, reference["name"])
        )
        return stored.object if stored else None


def _names(binding: Mapping[str, Any], user: User, namespace: str) -> bool:
    """Return whether a binding has the user as a subject."""
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "ServiceAccount":
            name = f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
        if name in user.groups if kind == "Group" else name == user.name:
            return True
    return False


def _permits(rule: Mapping[str, Any], attempt: Attempt) -> bool:
    def has(field: str, *wanted: str) -> bool:
        return not {"*", *wanted}.isdisjoint(rule.get(field) or ())

    subresource = attempt.resource.partition("/")[2]
    resources = (attempt.resource, f"*/{subresource}") if subresource else (attempt.resource,)
    names = rule.get("resourceNames")
    return (
        has("verbs", attempt.verb)
        and has("apiGroups", attempt.group)
        and has("resources", *resources)
        and (not names or attempt.name in names)
    )
