"""Steps that remove old revisions of Istio's control plane that are no longer in use.

Webhooks are removed first, so that no pod is sent to a removed istiod. Of meshkit's objects only those with
the revision's label are removed, of Helm's only the release: policies and definitions serve the new revision
too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.helm import RELEASE, release_of
from meshkit.kube.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from meshkit.kube.metadata import labels, title
from meshkit.kube.steps import Step
from meshkit.meshes.istio.revisions import DEFAULT, INJECTION, REVISION, WEBHOOK
from meshkit.meshes.ownership import deletion_step, is_ours

_RBAC = "rbac.authorization.k8s.io/v1"
_CLUSTER_WIDE = (WEBHOOK, Kind(_RBAC, "ClusterRoleBinding"), Kind(_RBAC, "ClusterRole"))
_INSIDE = (
    Kind("policy/v1", "PodDisruptionBudget"),
    DEPLOYMENT,
    SERVICE,
    CONFIG_MAP,
    Kind("v1", "ServiceAccount"),
)
_ORDER = (WEBHOOK, *_INSIDE, *_CLUSTER_WIDE[1:])


def needs(home: str) -> tuple[Need, ...]:
    """The objects that ``steps`` reads in addition to those that an upgrade reads."""
    return (*map(Need, _CLUSTER_WIDE), *(Need(kind, home) for kind in _INSIDE))


def require_handed_over(gone: Collection[str], tags: Collection[str]) -> None:
    """Raise ``BadInput`` if no revision would serve ``istio-injection=enabled`` and validate objects."""
    if DEFAULT in gone and DEFAULT not in tags:
        raise BadInput(
            "control_plane.tags",
            f"the control plane without a name serves {INJECTION}=enabled and validates Istio's objects, and"
            " no other one would replace it.",
            remedy=f"Give the new one that tag: tags=('{DEFAULT}',), or --tag {DEFAULT}.",
        )


def steps(snapshot: Snapshot, parts: Mapping[str, Sequence[Object]]) -> list[Step]:
    """The steps that remove revisions, in order. ``parts`` maps each revision to its Deployments.

    Only releases that made these Deployments are removed: others (that of the CNI node agent) have the label
    of a revision too but serve all revisions.
    """
    releases = dict.fromkeys(release_of(one) for found in parts.values() for one in found)
    own = [one for one in _labelled(snapshot, parts) if release_of(one) is None and is_ours(one)]
    hooks = [one for one in own if one["kind"] == WEBHOOK.kind]
    rest = sorted((one for one in own if one["kind"] != WEBHOOK.kind), key=_place)
    return [
        *(deletion_step(one) for one in hooks),
        *(
            deletion_step(manifests.obj(RELEASE, name, namespace))
            for namespace, name in filter(None, releases)
        ),
        *(deletion_step(one) for one in rest),
    ]


def left_over(snapshot: Snapshot, gone: Collection[str]) -> Iterator[Object]:
    """The objects with the label of a revision that neither meshkit nor Helm made."""
    for one in _labelled(snapshot, gone):
        if release_of(one) is None and not is_ours(one):
            yield one


def require_ours(snapshot: Snapshot, gone: Collection[str]) -> None:
    """Raise ``ManualActionRequired`` for a revision of another installer, whose objects are unknown."""
    foreign = [one for one in left_over(snapshot, gone) if one["kind"] == DEPLOYMENT.kind]
    if foreign:
        raise ManualActionRequired(
            f"{title(foreign[0])} was installed neither by meshkit nor by Helm.",
            remedy=f"'istioctl uninstall --revision {labels(foreign[0])[REVISION]}', if istioctl did.",
        )


def _labelled(snapshot: Snapshot, gone: Collection[str]) -> Iterator[Object]:
    """Objects of a control plane's kinds with these revisions' label, including their tags."""
    for kind in _ORDER:
        yield from (one for one in snapshot.of(kind.kind) if labels(one).get(REVISION) in gone)


def _place(one: Object) -> int:
    return next(place for place, kind in enumerate(_ORDER) if kind.kind == one["kind"])
