"""Take a change back: every object as the journal found it, or gone when it was not there.

Everything is looked at before anything is touched: an object that someone else has changed since stops the
undo. A namespace or a CustomResourceDefinition that holds objects of others stays. Who owned which field is
put back too, in a request of its own: the server gives changed fields to whoever changes them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.diff import content, digest
from meshkit.cluster.executor import Progress, Report, last_writer
from meshkit.cluster.helm import Helm, verbs, wait_for
from meshkit.cluster.journal import NAMESPACE
from meshkit.cluster.rights import Right
from meshkit.errors import Conflict, NeedsPerson, Rejected
from meshkit.facts import Kind, Object
from meshkit.planners.charts import RELEASE
from meshkit.planners.steps import RESTART_MANAGER, Wait, title

_GONE_TIMEOUT_S = 60.0
_ATTEMPTS = 10
_MADE_BY_KUBERNETES = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ConfigMap", "linkerd-identity-trust-roots"),
}
_BOOKKEEPING_KINDS = ("Event", "Endpoints", "EndpointSlice", "PodMetrics", "Lease")


@dataclass(frozen=True)
class Restoration:
    """One object: its state before the change (None: there was none), the hash of what the change left."""

    kind: Kind
    name: str
    namespace: str | None
    prior: Object | None
    after: str
    restart: bool
    wait: Wait | None

    @property
    def title(self) -> str:
        """Kind and name, as a person reads them."""
        meta = {"name": self.name, "namespace": self.namespace}
        return title({"kind": self.kind.kind, "metadata": meta})


def restorations(api: Api, records: Sequence[Mapping[str, Any]]) -> list[Restoration]:
    """What undoing these records takes, in order: the last step first, restarts at the end.

    Steps that the server refused have changed nothing. An object that was changed twice goes back to its
    first state at once. Pods are made anew by a restart, so what decides over them (the namespace's labels)
    is put back before.
    """
    by_object: dict[tuple[str, str | None, str], list[Mapping[str, Any]]] = {}
    refused = {record["index"] for record in records if record["event"] == "refused"}
    for record in records:
        if record["event"] == "step" and record["index"] not in refused:
            by_object.setdefault((record["kind"], record["namespace"], record["name"]), []).append(record)
    found = [(steps[-1]["index"], _restoration(api, steps)) for steps in by_object.values()]
    return [one for _, one in sorted(found, key=lambda pair: (pair[1].restart, -pair[0]))]


def _restoration(api: Api, steps: Sequence[Mapping[str, Any]]) -> Restoration:
    first, last = steps[0], steps[-1]
    prior = first["prior"]
    if prior and "secret" in prior:
        prior = _kept_secret(api, prior["secret"])
    return Restoration(
        kind=Kind(first["api_version"], first["kind"]),
        name=first["name"],
        namespace=first["namespace"],
        prior=prior,
        after=last["after"],
        restart=last["manager"] == RESTART_MANAGER,
        wait=Wait(*last["wait"]) if last["wait"] else None,
    )


def _kept_secret(api: Api, name: str) -> dict[str, Any]:
    """The prior state of a Secret. Its loss must never read as "there was none"."""
    copy = api.get(Kind("v1", "Secret"), name, NAMESPACE)
    if copy is None:
        raise NeedsPerson(
            f"The prior state of a Secret, kept in {NAMESPACE}/{name}, is gone.",
            remedy="Nothing was changed. Restore that Secret by hand.",
        )
    prior: dict[str, Any] = json.loads(base64.b64decode(copy["data"]["object"]))
    return prior


def rights_for(api: Api, wanted: Sequence[Restoration]) -> set[Right]:
    """What putting the objects back takes."""
    rights: set[Right] = set()
    for one in wanted:
        resource = api.resource(one.kind)
        if resource:
            verbs = ("get", "patch") if one.prior else ("get", "delete")
            rights |= {Right(verb, one.kind.group, resource.plural, one.namespace) for verb in verbs}
    return rights


def require_untouched(cluster: Cluster, wanted: Sequence[Restoration], salt: str) -> None:
    """Raise ``NeedsPerson`` naming every object that someone else has changed since."""
    touched = []
    for one in wanted:
        live = verbs(cluster, one.kind).get(one.kind, one.name, one.namespace)
        if digest(live, salt) in (one.after, digest(one.prior, salt)):
            continue
        touched.append(f"{one.title} ({'deleted' if live is None else f'by {last_writer(live)}'})")
    if touched:
        raise NeedsPerson(
            f"Changed since by others: {'; '.join(touched)}.",
            remedy="Nothing was changed. Settle these by hand, then undo again.",
        )


def restore(cluster: Cluster, wanted: Sequence[Restoration], report: Report) -> list[str]:
    """Put the objects back; returns a sentence for each that stays on purpose."""
    kept: list[str] = []
    for index, one in enumerate(wanted, start=1):
        report(Progress(one.title, index, len(wanted), "applying"))
        live = verbs(cluster, one.kind).get(one.kind, one.name, one.namespace)
        if one.prior is None and live is not None:
            kept += _delete(cluster, one, live)
        elif one.prior is not None and live is not None and content(live) != content(one.prior):
            _put_back(cluster, one, live, one.prior)
            if one.wait:
                report(Progress(one.title, index, len(wanted), "waiting"))
                wait_for(cluster, one.kind, one.name, one.namespace, one.wait)
        report(Progress(one.title, index, len(wanted), "done"))
    return kept


def _delete(cluster: Cluster, one: Restoration, live: Object) -> list[str]:
    if one.kind == RELEASE:
        Helm(cluster).delete(one.kind, one.name, one.namespace)
        return []
    api = cluster.api
    inside = _held(api, live)
    if inside:
        return [
            f"{one.title} stays: it holds {', '.join(inside[:3])}{' and more' if len(inside) > 3 else ''}."
        ]
    meta = live["metadata"]
    api.delete(one.kind, one.name, one.namespace, uid=meta["uid"])

    def gone(found: Mapping[str, Any] | None) -> bool:
        return found is None or found["metadata"]["uid"] != meta["uid"]

    api.wait(one.kind, one.name, one.namespace, gone, _GONE_TIMEOUT_S, "gone")
    return []


def _held(api: Api, live: Object) -> list[str]:
    """What would go with a namespace or a definition, and was not made by Kubernetes itself."""
    if live["kind"] == "CustomResourceDefinition":
        spec = live["spec"]
        version = next(v["name"] for v in spec["versions"] if v["storage"])
        return [title(obj) for obj in api.list(Kind(f"{spec['group']}/{version}", spec["names"]["kind"]))]
    if live["kind"] == "Namespace":
        kinds = [kind for kind in api.namespaced_kinds() if kind.kind not in _BOOKKEEPING_KINDS]
        return [
            title(obj)
            for kind in kinds
            for obj in api.list(kind, live["metadata"]["name"])
            if _is_foreign(obj)
        ]
    return []


def _is_foreign(obj: Object) -> bool:
    meta = obj["metadata"]
    if meta.get("ownerReferences") or meta.get("deletionTimestamp"):
        return False
    return (obj["kind"], meta["name"]) not in _MADE_BY_KUBERNETES


def _put_back(cluster: Cluster, one: Restoration, live: Object, prior: Object) -> None:
    """First the values, then who owned them."""
    if one.kind == RELEASE:
        Helm(cluster).roll_back(one.name, one.namespace or "", prior["metadata"]["resourceVersion"])
        return
    api = cluster.api

    def owners(found: Object) -> list[dict[str, Any]]:
        return [{"op": "add", "path": "/metadata/managedFields", "value": _owners(found, prior)}]

    _patch(api, one, digest(live), lambda found: _differences(content(found), content(prior), ""))
    _patch(api, one, digest(prior), owners)


def _patch(api: Api, one: Restoration, expected: str, ops: Callable[[Object], list[dict[str, Any]]]) -> None:
    """Patch the object while its content is the expected one; a status written meanwhile does no harm."""
    attempts = 0
    while True:
        live = api.get(one.kind, one.name, one.namespace)
        if live is None or digest(live) != expected:
            raise NeedsPerson(f"{one.title} was changed during the undo.", remedy="Settle it by hand.")
        version = live["metadata"]["resourceVersion"]
        same = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            api.json_patch(one.kind, one.name, one.namespace, [same, *ops(live)])
            return
        except (Rejected, Conflict) as error:
            attempts += 1
            if attempts == _ATTEMPTS or error.status not in (409, 422):
                raise


def _differences(now: Mapping[str, Any], before: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """JSON patch operations for every part that differs; lists are replaced whole."""
    ops: list[dict[str, Any]] = []
    for key in {**now, **before}:
        place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in before:
            ops.append({"op": "remove", "path": place})
        elif key not in now:
            ops.append({"op": "add", "path": place, "value": before[key]})
        elif isinstance(now[key], dict) and isinstance(before[key], dict):
            ops += _differences(now[key], before[key], place)
        elif now[key] != before[key]:
            ops.append({"op": "replace", "path": place, "value": before[key]})
    return ops


def _owners(live: Object, prior: Object) -> list[Mapping[str, Any]]:
    """Who owned what before, and beside it those who came since (controllers: the content was not theirs)."""
    before = list(prior["metadata"].get("managedFields") or ())
    known = {_owner_key(entry) for entry in before}
    later = [
        entry
        for entry in live["metadata"].get("managedFields") or ()
        if _owner_key(entry) not in known and not entry["manager"].startswith("meshkit")
    ]
    return [*before, *later]


def _owner_key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return (entry["manager"], entry["operation"], entry.get("subresource", ""))
