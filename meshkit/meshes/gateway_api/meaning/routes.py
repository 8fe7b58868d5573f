"""Translate a rule of an HTTPRoute or GRPCRoute: its backends and filters.

Timeouts and retries are each mesh's own. A backend that is not there answers 500 for its share, as Gateway
API says; one without endpoints 503.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshkit.meshes.gateway_api.meaning.matches import GROUP, header_edits
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.outbound import (
    Backend,
    HeaderEdits,
    Match,
    Mirror,
    Object,
    Problem,
    Redirect,
    Rewrite,
    Route,
    cluster_name,
)
from meshkit.meshes.model.translation import Translation

Json = Mapping[str, Any]
BY_NAME = ("networking.istio.io", "Hostname")
"""The group and kind of a backend that is the name of any host that Istio knows."""
Clusters = Container[str]
"""The names of the clusters that there are."""


def parents_of(item: Object) -> list[Json]:
    """The Services that a route is attached to."""
    return [ref for ref in item["spec"].get("parentRefs") or () if is_service(ref)]


def is_service(reference: Json) -> bool:
    """Whether a parent or backend is a Service; a backend that names no kind is one."""
    return reference.get("kind") == "Service" and reference.get("group", GROUP) in ("", "core")


def attached(item: Object, service: Object, port: int) -> bool:
    """Whether a route is attached to a port of a Service."""
    meta, own = service["metadata"], item["metadata"]["namespace"]
    return any(
        parent["name"] == meta["name"]
        and parent.get("namespace", own) == meta["namespace"]
        and int(parent.get("port") or port) == port
        for parent in parents_of(item)
    )


def meant_for(item: Object, service: Object, ports: list[int]) -> list[int]:
    """Those of a Service's ``ports`` that a route names, or all if the Service has no other."""
    meta, own = service["metadata"], item["metadata"]["namespace"]
    every = {int(port["port"]) for port in service["spec"].get("ports") or ()}
    named: set[int] = set()
    for parent in parents_of(item):
        if parent["name"] == meta["name"] and parent.get("namespace", own) == meta["namespace"]:
            named |= {int(parent["port"])} if parent.get("port") else every if every <= set(ports) else set()
    return sorted(named & set(ports))


def route_of(
    work: Translation, item: Object, index: int, rule: Json, match: Match, clusters: Clusters
) -> Route:
    """The route of one match of a rule."""
    meta, filters = item["metadata"], rule.get("filters") or ()
    owner = f"{meta['namespace']}/{meta['name']}"
    common = Route(
        name=rule.get("name") or f"{meta['name']}-{index}",
        matches=(match,),
        owner=owner,
        source=f"{item.get('kind', 'HTTPRoute')} {owner} rules[{index}]",
        request_headers=header_edits(filters, "Request"),
        response_headers=header_edits(filters, "Response"),
    )
    if redirect := _setting(filters, "RequestRedirect"):
        return replace(common, redirect=_redirect(redirect))
    rewrite = _setting(filters, "URLRewrite") or {}
    backends = tuple(_backend(work, item, index, ref, clusters) for ref in rule.get("backendRefs") or ())
    weighty = tuple(backend for backend in backends if backend.weight)
    return replace(
        common,
        backends=weighty or (Backend(None, 1),),
        rewrite=_rewrite(rewrite.get("path"), match),
        request_headers=replace(common.request_headers, authority=rewrite.get("hostname") or ""),
        mirrors=tuple(_mirrors(work, item, index, filters, clusters)),
    )


def _setting(filters: Iterable[Json], kind: str) -> Json | None:
    field = "urlRewrite" if kind == "URLRewrite" else kind[0].lower() + kind[1:]
    return next((entry.get(field) or {} for entry in filters if entry["type"] == kind), None)


def _redirect(written: Json) -> Redirect:
    path = written.get("path") or {}
    return Redirect(
        status=int(written.get("statusCode") or 302),
        scheme=written.get("scheme") or "",
        host=written.get("hostname") or "",
        port=int(written.get("port") or 0),
        path=path.get("replaceFullPath") or "",
        prefix=path.get("replacePrefixMatch") or "",
    )


def _rewrite(path: Json | None, match: Match) -> Rewrite | None:
    """Another path, or another beginning in whole segments: ``/a`` to ``/`` makes ``/a/b`` to ``/b``."""
    if not path:
        return None
    if path["type"] == "ReplaceFullPath":
        return Rewrite(regex=whole_path(path.get("replaceFullPath") or "/"))
    before = match.path.value if match.path else "/"
    after = path.get("replacePrefixMatch") or "/"
    if before.rstrip("/") and after.rstrip("/"):
        return Rewrite(prefix=after.rstrip("/"))
    return Rewrite(regex=other_prefix(before, after))


def whole_path(path: str) -> tuple[str, str]:
    """The expression and its replacement that put a path in place of the whole path."""
    return "^.*$", _literal(path)


def other_prefix(before: str, after: str) -> tuple[str, str]:
    """The expression and its replacement that put one beginning, in whole segments, in place of another."""
    before, after = before.rstrip("/"), after.rstrip("/")
    if before and after:
        return f"^{re.escape(before)}", _literal(after)
    return f"^{re.escape(before)}/*", f"{_literal(after)}/"


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")


def _backend(work: Translation, item: Object, index: int, reference: Json, clusters: Clusters) -> Backend:
    filters = reference.get("filters")
    edits = header_edits(filters, "Request"), header_edits(filters, "Response")
    name = _cluster(work, item, index, reference, clusters)
    return Backend(
        name, int(reference.get("weight", 1)), *(edits if name else (HeaderEdits(), HeaderEdits()))
    )


def _mirrors(
    work: Translation, item: Object, index: int, filters: Iterable[Json], clusters: Clusters
) -> Iterable[Mirror]:
    for entry in filters:
        if entry["type"] != "RequestMirror":
            continue
        written = entry["requestMirror"]
        fraction = written.get("fraction") or {}
        share = float(written.get("percent", 100))
        if fraction:
            share = 100.0 * fraction["numerator"] / fraction.get("denominator", 100)
        name = _cluster(work, item, index, written["backendRef"], clusters)
        if name and share:
            yield Mirror(name, share)


def _cluster(work: Translation, item: Object, index: int, reference: Json, clusters: Clusters) -> str | None:
    """The cluster of a backend, None if there is none. What does not exist is told by ``references``."""
    name = backend_cluster(item, reference)
    if not name and reference.get("group", "") not in ("", "core", "apps", GROUP):
        kind = f"{reference.get('kind')} of the group {reference['group']}"
        work.ignore(item, f"spec.rules[{index}]: a backend that is a {kind} is not supported by the sandbox.")
    if name and name in clusters:
        return name
    if name and _exists(work, item, reference):
        where = f"{reference['name']}:{reference.get('port')}"
        message = f"spec.rules[{index}]: Service port {where} is not exported to the callers; they get 500."
        work.problems.append(Problem(item, "BackendNotVisible", message))
    return None


def _exists(work: Translation, item: Object, reference: Json) -> bool:
    namespace = reference.get("namespace") or item["metadata"]["namespace"]
    service = work.registry.find("services", namespace, reference["name"]) or {"spec": {}}
    return any(int(port["port"]) == reference.get("port") for port in service["spec"].get("ports") or ())


def backend_cluster(item: Object, reference: Json) -> str:
    """The cluster of a backend; empty where it is neither a Service nor a host of Istio by its name."""
    if (reference.get("group"), reference.get("kind")) == BY_NAME:
        return cluster_name(int(reference.get("port") or 0), "", str(reference["name"]).lower())
    if reference.get("kind", "Service") != "Service" or reference.get("group", "") not in ("", "core"):
        return ""
    namespace = reference.get("namespace") or item["metadata"]["namespace"]
    host = f"{reference['name']}.{namespace}.svc.{CLUSTER_DOMAIN}"
    return cluster_name(int(reference.get("port") or 0), "", host)
