"""Read the Routes of a Service back from its routes, and from the annotations beside their rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from meshkit.facts import Need, Object, Snapshot
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import annotations_of
from meshkit.meshes.gateway_api import written as gateway
from meshkit.meshes.gateway_api.routes import KINDS
from meshkit.meshes.linkerd.meaning.reliability import ACCRUAL
from meshkit.meshes.linkerd.traffic.breakers import is_of_policy
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.routing.written import Fields, Written, filled, read


def needs(namespace: str) -> Sequence[Need]:
    """The objects that ``routes`` reads."""
    return tuple(Need(kind, namespace) for kind in (SERVICE, *KINDS))


def routes(namespace: str, service: str, snapshot: Snapshot) -> Iterator[Written]:
    """The routes of a Service, each once for each port."""
    for route, port in gateway.routes_of(service, namespace, snapshot):
        yield read(route, port, partial(_fields, route, port, service, snapshot))


def _fields(item: Object, port: int | None, service: str, snapshot: Snapshot) -> Fields:
    fields = gateway.fields_of(item, port, service, snapshot)
    found = snapshot.find(SERVICE.kind, service, fields["namespace"])
    return {
        **fields,
        "api": "auto",
        **filled(
            {
                "timeout_s": fields.get("timeout_s") or _timeout_s(item),
                "retries": _retries(item),
                "outlier_detection": _breaker(found),
            }
        ),
    }


def _timeout_s(route: Object) -> float | None:
    return duration_s(annotations_of(route).get("timeout.linkerd.io/request"))


def _retries(route: Object) -> Fields:
    notes = annotations_of(route)
    conditions: Fields = {}
    if "retry.linkerd.io/grpc" in notes:
        conditions = {"grpc_statuses": notes["retry.linkerd.io/grpc"].split(",")}
    elif "retry.linkerd.io/http" in notes:
        on, *statuses = notes["retry.linkerd.io/http"].split(",")
        conditions = {"on": on, "statuses": [int(each) for each in statuses]}
    else:
        return {}
    return filled(
        {
            "attempts": int(notes["retry.linkerd.io/limit"]),
            **conditions,
            "per_try_timeout_s": duration_s(notes.get("retry.linkerd.io/timeout")),
        }
    )


def _breaker(service: Object | None) -> Fields:
    """The outlier detection that a Route gave a Service; nothing for that of a DestinationPolicy."""
    notes = annotations_of(service) if service is not None else {}
    if ACCRUAL not in notes or is_of_policy(service):
        return {}
    return filled(
        {
            "consecutive_5xx": int(notes[f"{ACCRUAL}-consecutive-max-failures"]),
            "base_ejection_s": duration_s(notes[f"{ACCRUAL}-consecutive-min-penalty"]),
            "max_ejection_s": duration_s(notes[f"{ACCRUAL}-consecutive-max-penalty"]),
        }
    )
