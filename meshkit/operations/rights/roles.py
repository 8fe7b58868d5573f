"""The roles with which an account may read, plan, apply, release or guard a release, and nothing else.

Each role is made from the permissions that the operations themselves state and check before they change
anything, so that roles and checks cannot differ. They hold for one mesh and all of its namespaces.
Installing, upgrading and uninstalling a mesh is an administrator's work: no role is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal, get_args

import yaml

from meshkit.cluster import rights
from meshkit.cluster.api import Resource
from meshkit.cluster.journal import NAMESPACE as JOURNAL
from meshkit.cluster.rights import Right
from meshkit.errors import UnknownName
from meshkit.facts import Kind, Object
from meshkit.intent.gates import Gate
from meshkit.intent.release import Release
from meshkit.kube.kinds import MUTATING_WEBHOOK
from meshkit.kube.kinds import NAMESPACE as NAMESPACE_KIND
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh, WeightedRoute
from meshkit.meshes.view import NEEDED, NEEDED_AT_HOME
from meshkit.operations.release.notices.events import event_rights
from meshkit.operations.release.rights import required_rights

Verb = Literal["read", "plan", "apply", "release", "guardian"]
VERBS: tuple[Verb, ...] = get_args(Verb)
_RBAC = "rbac.authorization.k8s.io/v1"
_ANY = "any-namespace"
"""Stands for the namespaces of intents and releases: a right in it is granted in all namespaces."""
_ADDED: Mapping[str, str] = {
    "read": "Check, explain and measure the mesh, and read the history and the releases.",
    "plan": "Plan intents: a dry run needs the rights to write, because RBAC does not tell the two apart.",
    "apply": "Apply and undo intents, and write the journal.",
    "release": "Plan, run and undo releases, and give them commands.",
    "guardian": "Take a release back that nobody runs any more. It cannot read metrics.",
}


def rights_of(verb: Verb, mesh: str) -> frozenset[Right]:
    """The permissions of a verb; those for namespaces of the user hold in all of them (namespace None)."""
    if verb not in VERBS:
        raise UnknownName("verb", verb, VERBS)
    row = registry.mesh(mesh)
    stated = _STATED[verb](row)
    return frozenset(right._replace(namespace=None) if right.namespace == _ANY else right for right in stated)


def role_objects(
    verb: Verb, mesh: str, *, account: str = "", name: str = "", besides: Iterable[Right] = ()
) -> list[Object]:
    """The ClusterRole of a verb, and a Role for each namespace of meshkit or of the control plane.

    With ``account`` (``namespace/name`` of a ServiceAccount) the bindings are included. ``besides`` are
    permissions that one release needs for its gates and notices.
    """
    name = name or f"meshkit-{verb}-{registry.mesh(mesh).name}"
    by_place: dict[str | None, list[Right]] = {}
    wanted = rights_of(verb, mesh) | frozenset(besides)
    for right in sorted(wanted, key=lambda each: (each.namespace or "", *each[:3])):
        by_place.setdefault(right.namespace, []).append(right)
    made: list[Object] = []
    if JOURNAL in by_place:
        made.append(obj(NAMESPACE_KIND, JOURNAL))
    for place, found in by_place.items():
        kind = Kind(_RBAC, "Role" if place else "ClusterRole")
        made.append(obj(kind, name, place, rules=_rules(found)))
        if account:
            made.append(_binding(kind, name, place, account))
    return made


def role_text(verb: Verb, mesh: str, *, account: str = "") -> str:
    """The objects of ``role_objects`` as YAML, with a comment that says what the role is for."""
    objects = role_objects(verb, mesh, account=account)
    return f"# {_ADDED[verb]}\n{yaml.safe_dump_all(objects, sort_keys=False, width=110)}"


def _reading(row: Mesh) -> set[Right]:
    def listed(kinds: Iterable[Kind], namespace: str | None = None) -> set[Right]:
        resources = _Resources(row)
        return {Right("list", kind.group, resources.resource(kind).plural, namespace) for kind in kinds}

    everywhere = listed(
        (*NEEDED, *row.checks.kinds, *row.meaning.KINDS.values(), *row.not_evaluated, MUTATING_WEBHOOK)
    )
    at_home = listed(NEEDED_AT_HOME, row.control_plane.home)
    journal = {Right(verb, "", "configmaps", JOURNAL) for verb in ("get", "list")}
    here = {each for each in at_home | journal if each._replace(namespace=None) not in everywhere}
    return everywhere | here | {Right("get", "", "pods/proxy")}


def _planning(row: Mesh) -> set[Right]:
    return _reading(row) | {each for each in _of_intents(row) if each.verb in ("get", "patch", "create")}


def _applying(row: Mesh) -> set[Right]:
    return _reading(row) | _of_intents(row) | rights.of_journal(_offline(row))


def _of_intents(row: Mesh) -> set[Right]:
    """The permissions to apply and undo whatever the planner writes for intents."""
    whole = [Step(obj(kind, "any", _ANY)) for kind in row.written]
    partly = [Step(obj(kind, "any", _ANY), partial=True) for kind in row.patched]
    found = rights.of_steps(_offline(row), [*whole, *partly])
    return {each._replace(namespace=_ANY) for each in found}


def _releasing(row: Mesh) -> set[Right]:
    asks = (Gate(name="by-annotation", by="annotation"),)
    release = Release(
        name="any", namespace=_ANY, service="any", port=80, stable="v1", canary="v2", gates=asks
    )
    cluster: Any = SimpleNamespace(api=_offline(row))
    found = _reading(row) | event_rights(release)
    routes = [WeightedRoute(kind, "any", _ANY, "", "", (), "v1", "v2") for kind in row.kinds.routes]
    return found | required_rights(cluster, routes, release)


def _guarding(row: Mesh) -> set[Right]:
    release = Release(name="any", namespace=_ANY, service="any", port=80, stable="v1", canary="v2")
    cluster: Any = SimpleNamespace(api=_offline(row))
    routes = [WeightedRoute(kind, "any", _ANY, "", "", (), "v1", "v2") for kind in row.kinds.routes]
    return required_rights(cluster, routes) | event_rights(release)


_STATED: Mapping[Verb, Callable[[Mesh], Iterable[Right]]] = {
    "read": _reading,
    "plan": _planning,
    "apply": _applying,
    "release": _releasing,
    "guardian": _guarding,
}


class _Resources:
    """Knows the resources of kinds without an API server, by the mesh's definitions or by their names.

    It answers as for an account for which an administrator made meshkit's namespace.
    """

    def __init__(self, row: Mesh) -> None:
        self._defined = {
            (crd["spec"]["group"], crd["spec"]["names"]["kind"]): str(crd["spec"]["names"]["plural"])
            for crd in row.crds()
        }

    def resource(self, kind: Kind) -> Resource:
        return Resource(self._defined.get((kind.group, kind.kind)) or _plural(kind.kind), True)

    def allowed(self, *right: object) -> bool:
        return True

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        return obj(kind, name, namespace)


def _offline(row: Mesh) -> Any:
    """A client for functions that ask an API server for resources only."""
    return _Resources(row)


def _plural(kind: str) -> str:
    """The plural by the rule of Kubernetes' own client (UnsafeGuessKindToResource of apimachinery)."""
    name = kind.lower()
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"


def _rules(found: Sequence[Right]) -> list[dict[str, Any]]:
    """The rules of a role: resources of one group with the same verbs are one rule."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for right in found:
        verbs.setdefault((right.group, right.resource), set()).add(right.verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), allowed in verbs.items():
        together.setdefault((group, tuple(sorted(allowed))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": sorted(resources), "verbs": list(allowed)}
        for (group, allowed), resources in sorted(together.items())
    ]


def _binding(kind: Kind, name: str, place: str | None, account: str) -> Object:
    namespace, _, owner = account.partition("/")
    return obj(
        Kind(_RBAC, f"{kind.kind}Binding"),
        name,
        place,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind.kind, "name": name},
        subjects=[{"kind": "ServiceAccount", "name": owner, "namespace": namespace}],
    )
