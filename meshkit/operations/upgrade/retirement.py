"""The old revision of Istio's control plane as steps that take it away, once nobody obeys it any more.

Its webhooks go first, so that no pod is given to an istiod that is gone. Of what meshkit made only what has
the revision's label goes, of what Helm made its release: policies and definitions serve the new one too.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.helm import RELEASE, release_of
from meshkit.kube.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.istio.revisions import DEFAULT, INJECTION, REVISION, WEBHOOK
from meshkit.meshes.removal import is_ours, taken_away
from meshkit.operations.upgrade.state import Standing

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
    """What ``retirement`` must see beside what a Standing sees."""
    return (*map(Need, _CLUSTER_WIDE), *(Need(kind, home) for kind in _INSIDE))


def require_unused(standing: Standing) -> None:
    """Raise ``ManualActionRequired`` naming who still obeys or asks for an old revision."""
    users = [
        *(f"{one.name} ({one.behind} proxies)" for one in standing.spaces if one.behind),
        *(
            f"{one.name} (asks for {one.asks})"
            for one in standing.spaces
            if one.asks and not one.behind and not standing.serves(one.asks)
        ),
    ]
    if users:
        by_hand = [what for one in standing.spaces for what in one.by_hand]
        told = f" By hand: {', '.join(by_hand[:5])}." if by_hand else ""
        raise ManualActionRequired(
            f"The old control plane is still needed in {', '.join(users)}.{told} Nothing was changed.",
            remedy="Bring these to the new version ('meshkit upgrade run'), then go on.",
        )


def require_handed_over(standing: Standing) -> None:
    """Refuse to leave ``istio-injection=enabled``, and the validation of Istio's objects, to nobody."""
    if any(one.revision == DEFAULT for one in standing.old) and DEFAULT not in standing.to.tags:
        raise BadInput(
            "control_plane.tags",
            f"the control plane without a name serves {INJECTION}=enabled and checks Istio's objects, and"
            " nobody would after it.",
            remedy=f"Give the new one that tag: tags=('{DEFAULT}',), or --tag {DEFAULT}.",
        )


def retirement(standing: Standing) -> list[Step]:
    """The steps that take the old revisions away, in order: of releases those that made their istiod, for
    others (the CNI node agent's) carry the label of a revision too and serve every one.
    """
    gone = {one.revision for one in standing.old}
    labelled = [one for one in _of(standing.snapshot) if _revision(one) in gone]
    parts = (one for revision in gone for one in standing.parts[revision])
    releases = dict.fromkeys(release_of(one) for one in parts)
    own = [one for one in labelled if release_of(one) is None and is_ours(one)]
    hooks = [one for one in own if one["kind"] == WEBHOOK.kind]
    rest = sorted((one for one in own if one["kind"] != WEBHOOK.kind), key=_place)
    return [
        *(taken_away(one) for one in hooks),
        *(taken_away(manifests.obj(RELEASE, name, namespace)) for namespace, name in filter(None, releases)),
        *(taken_away(one) for one in rest),
    ]


def left_over(standing: Standing) -> Iterator[Object]:
    """What carries an old revision's label and neither meshkit nor Helm made: its maker must take it away."""
    gone = {one.revision for one in standing.old}
    for one in _of(standing.snapshot):
        if _revision(one) in gone and release_of(one) is None and not is_ours(one):
            yield one


def require_ours(standing: Standing) -> None:
    """Refuse a revision that another program installed: its parts are known to that program alone."""
    foreign = [one for one in left_over(standing) if one["kind"] == DEPLOYMENT.kind]
    if foreign:
        raise ManualActionRequired(
            f"{title(foreign[0])} was installed neither by meshkit nor by Helm.",
            remedy=f"'istioctl uninstall --revision {_revision(foreign[0])}', if istioctl did.",
        )


def _of(snapshot: Snapshot) -> Iterator[Object]:
    """Objects of the kinds that a control plane is made of, tags of the old revision included."""
    for kind in _ORDER:
        yield from snapshot.of(kind.kind)


def _revision(one: Object) -> str:
    return str((one["metadata"].get("labels") or {}).get(REVISION, ""))


def _place(one: Object) -> int:
    return next(place for place, kind in enumerate(_ORDER) if kind.kind == one["kind"])
