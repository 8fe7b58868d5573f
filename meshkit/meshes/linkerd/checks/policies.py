"""Access policies of Linkerd that rule nothing, name what does not exist, or let nobody in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.checks import findings_of
from meshkit.meshes.linkerd.meaning import admission, policy_problems, rate_limits
from meshkit.meshes.linkerd.meaning import sidecar as meaning
from meshkit.meshes.linkerd.meaning.authorization import KINDS, ROUTES
from meshkit.meshes.model.outbound import Problem
from meshkit.meshes.view import View

CODES: Mapping[str, Code] = {
    policy_problems.SERVER_SELECTS_NOTHING: codes.SERVER_SELECTS_NOTHING,
    policy_problems.SERVER_CONFLICT: codes.SERVER_CONFLICT,
    policy_problems.SERVER_REFUSES_ALL: codes.SERVER_REFUSES_ALL,
    policy_problems.SERVER_MISSING: codes.ROUTE_PARENT_MISSING,
    "OpaquePort": codes.ROUTE_ON_OPAQUE_PORT,
    policy_problems.TARGET_MISSING: codes.POLICY_TARGET_MISSING,
    policy_problems.POLICY_IGNORED: codes.POLICY_IGNORED,
    rate_limits.IGNORED: codes.RATE_LIMIT_IGNORED,
}
"""The reason of a Problem -> the code of its finding. What only the sandbox cannot do is no finding."""
_POLICIES = [resource for resource in KINDS if resource not in ROUTES]
_IDENTITY = ".serviceaccount.identity."


def check(view: View) -> Iterator[Finding]:
    """Find policies without effect, and Servers that let nobody in."""
    registry = view.registry(meaning.KINDS)
    told: dict[tuple[int, str], Problem] = {}
    for problem in policy_problems.problems(registry):
        # A Server's conflict is a problem for each pod; one finding is enough.
        told.setdefault((id(problem.object), problem.reason), problem)
    yield from findings_of(told.values(), CODES)
    for resource in _POLICIES:
        for item in registry.of(resource):
            if why := admission.refusal(item):
                yield codes.finding(codes.POLICY_UNREADABLE, title(item), f"{why}.")
    for item in registry.of("meshtlsauthentications.policy"):
        yield from _identities(view, item)


def _identities(view: View, item: Object) -> Iterator[Finding]:
    """Identities that no caller can have. Names of other trust domains or clusters are left alone."""
    own, spec = item["metadata"]["namespace"], item["spec"]
    for index, reference in enumerate(spec.get("identityRefs") or ()):
        where, name = f"spec.identityRefs[{index}]", reference.get("name", "")
        if reference["kind"] == "Namespace":
            if not _exists(view, "Namespace", name):
                message = f"{where}: there is no Namespace {name}."
                yield codes.finding(codes.IDENTITY_MISSING, title(item), message)
        elif not _exists(view, "ServiceAccount", name, reference.get("namespace") or own):
            message = f"{where}: there is no ServiceAccount {reference.get('namespace') or own}/{name}."
            yield codes.finding(codes.IDENTITY_MISSING, title(item), message)
    for index, identity in enumerate(spec.get("identities") or ()):
        account, _, rest = identity.partition(".")
        namespace, is_account, _ = rest.partition(_IDENTITY)
        if not is_account or account == "*" or "." in namespace:
            continue
        if not _exists(view, "ServiceAccount", account, namespace):
            message = f"spec.identities[{index}]: there is no ServiceAccount {namespace}/{account}."
            yield codes.finding(codes.IDENTITY_MISSING, title(item), message)


def _exists(view: View, kind: str, name: str, namespace: str | None = None) -> bool:
    return any(obj["metadata"]["name"] == name for obj in view.of(kind, namespace))
