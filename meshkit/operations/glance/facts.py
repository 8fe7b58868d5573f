"""Make a glance of the objects and the calls that were read. Pure: reads nothing by itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from meshkit.checks.skew import newest_control_plane
from meshkit.facts import Finding
from meshkit.kube.pods import is_live, workload
from meshkit.kube.selectors import selects
from meshkit.meshes import registry
from meshkit.meshes.certificates import certificates_in, decoded
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.effective import Effective
from meshkit.meshes.injection import proxy_origin
from meshkit.meshes.view import View
from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.observe.unmeshed_workloads import unmeshed_workloads
from meshkit.operations.glance.model import (
    NO_SIDECAR,
    Certificate,
    Connection,
    Glance,
    Lock,
    Place,
    RunningVersion,
    Workload,
    in_order,
)
from meshkit.operations.glance.shares import Division, divisions

_LOCKS: Mapping[str, Lock] = {"mTLS": "mutual TLS", "plaintext": "plain text", "unknown": "not known"}
_WORST: tuple[Lock, ...] = ("plain text", "not known", "mutual TLS")


def glance_of(view: View, effective: Effective, graph: ServiceGraph, findings: Sequence[Finding]) -> Glance:
    """What the objects of a cluster and the calls between its workloads show at a glance."""
    places, services = _places(view), _services(view)
    connections = _connections(graph, tuple(divisions(effective)), services)
    return Glance(
        mesh=registry.mesh(view.mesh).title,
        cluster=None,
        taken=view.now,
        seconds=graph.seconds,
        workloads=tuple(_workloads(view, places, services, connections, findings)),
        connections=connections,
        findings=tuple(findings),
        certificates=tuple(certificates(view)),
        versions=tuple(versions(view)),
        sidecars=len(view.meshed),
        unread_sidecars=graph.unread,
        not_read=view.snapshot.unread,
    )


def _places(view: View) -> Mapping[str, Place]:
    """Where each workload is that was read, without control planes."""
    pods = [pod for pod in view.of("Pod") if is_live(pod)]
    inside = {workload(pod) for pod in (*view.meshed, *view.sidecarless)}
    outside = set(unmeshed_workloads(pods, view.mesh, view.of("Namespace"))) - inside
    places: dict[str, Place] = {}
    places.update(dict.fromkeys(outside, "outside"))
    places.update(dict.fromkeys(inside, "mesh"))
    return places


def _services(view: View) -> Mapping[str, tuple[str, ...]]:
    """Workload -> the requests to the Services that select its pods (``web.shop:8080``)."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    by_space: dict[str, list[tuple[str, Mapping[str, str]]]] = defaultdict(list)
    for pod in view.of("Pod"):
        if is_live(pod):
            by_space[pod["metadata"]["namespace"]].append((workload(pod), pod))
    for service in view.of("Service"):
        meta, spec = service["metadata"], service.get("spec") or {}
        ports = spec.get("ports") or ()
        if spec.get("selector") and ports:
            for name, pod in by_space[meta["namespace"]]:
                if selects(spec["selector"], pod):
                    found[name][f"{meta['name']}.{meta['namespace']}:{ports[0]['port']}"] = None
    return {name: tuple(requests) for name, requests in found.items()}


def _connections(
    graph: ServiceGraph, divided: Sequence[Division], services: Mapping[str, Sequence[str]]
) -> tuple[Connection, ...]:
    edges: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        edges[edge.source or NO_SIDECAR, edge.destination].append(edge)
    found = {ends: _connection(*ends, each, graph.seconds, services) for ends, each in edges.items()}
    for division in divided:
        rates = {name: found.get((division.source, name)) for name in division.shares}
        total = sum(each.requests_per_s for each in rates.values() if each)
        if not total:
            continue
        for name, asked in division.shares.items():
            now = rates[name] or Connection(division.source, name, "not known", 0.0)
            share = 100 * now.requests_per_s / total
            if asked or share:
                found[now.source, name] = replace(
                    now,
                    asked_percent=round(asked, 2),
                    measured_percent=round(share, 2),
                    request=division.request,
                )
    return in_order(tuple(found.values()))


def _connection(
    source: str,
    destination: str,
    edges: Sequence[Edge],
    seconds: float,
    services: Mapping[str, Sequence[str]],
) -> Connection:
    """One connection of the edges of all protocols between two workloads; its latencies are the worst."""
    requests = sum(each.counts.requests for each in edges)
    failed = sum(each.counts.errors for each in edges)
    p50, p99 = ([ms for each in edges if (ms := each.counts.quantile_ms(q)) is not None] for q in (0.5, 0.99))
    locks = {_LOCKS[each.security] for each in edges}
    return Connection(
        source=source,
        destination=destination,
        lock=next(each for each in _WORST if each in locks),
        requests_per_s=requests / seconds,
        error_percent=None if source == NO_SIDECAR or not requests else 100 * failed / requests,
        p50_ms=max(p50, default=None),
        p99_ms=max(p99, default=None),
        refused_per_s=sum(each.refused for each in edges) / seconds,
        request=next(iter(services.get(destination, ())), ""),
    )


def _workloads(
    view: View,
    places: Mapping[str, Place],
    services: Mapping[str, Sequence[str]],
    connections: Sequence[Connection],
    findings: Sequence[Finding],
) -> Iterator[Workload]:
    """The workloads of the mesh, and whatever else calls or is called, by name."""
    called: dict[str, list[Connection]] = defaultdict(list)
    for each in connections:
        called[each.destination].append(each)
    ours = {name for name, place in places.items() if place == "mesh"}
    names = ours | set(called) | {each.source for each in connections}
    about = _findings_of(findings, names, services)
    outside = tuple(name for name, place in places.items() if place == "outside")
    for name in sorted(names):
        known = [each for each in called[name] if each.error_percent is not None]
        total = sum(each.requests_per_s for each in known)
        failed = sum(each.requests_per_s * (each.error_percent or 0.0) for each in known)
        yield Workload(
            name=name,
            place="outside" if name == NO_SIDECAR else places.get(name, "unseen"),
            requests_per_s=sum(each.requests_per_s for each in called[name]),
            error_percent=failed / total if total else None,
            findings=about.get(name, ()),
            candidates=tuple(sorted(outside)) if name == NO_SIDECAR else (),
        )


def _findings_of(
    findings: Iterable[Finding], names: Iterable[str], services: Mapping[str, Sequence[str]]
) -> Mapping[str, tuple[Finding, ...]]:
    """Workload -> the findings about it, its pods, and the Services and routes of its host."""
    by_host: dict[str, list[str]] = defaultdict(list)
    for name, requests in services.items():
        for request in requests:
            service, _, namespace = request.partition(":")[0].partition(".")
            by_host[f"{namespace}/{service}"].append(name)
    known, found = set(names), defaultdict(list)
    for finding in findings:
        kind, _, where = finding.object.partition(" ")
        ends = [where] if where in known else by_host.get(where, ())
        if kind == "Pod" and not ends:
            ends = [name for name in known if where.startswith(f"{name}-")][:1]
        for name in ends:
            found[name].append(finding)
    return {name: tuple(each) for name, each in found.items()}


def certificates(view: View) -> Iterator[Certificate]:
    """The certificates of the mesh's CA and of its webhooks, the next to end first."""
    found: dict[bytes, Certificate] = {}

    def add(what: str, where: str, pem: str) -> None:
        for each in certificates_in(pem):
            found.setdefault(each.tbs_certificate_bytes, Certificate(what, where, each.not_valid_after_utc))

    for authority in registry.mesh(view.mesh).checks.authorities:
        secret = view.named("Secret", authority.secret)
        if secret is not None:
            for key in authority.keys:
                text = decoded((secret.get("data") or {}).get(key, ""))
                add(key, f"Secret {view.home}/{authority.secret}", text)
            break
    for hook in (*view.hooks, *view.validators):
        add("webhook's CA", str(hook["name"]), decoded(hook["clientConfig"].get("caBundle") or ""))
    yield from sorted(found.values(), key=lambda each: each.ends)


def versions(view: View) -> Iterator[RunningVersion]:
    """The versions of the control plane and of the sidecars that run now."""
    planes = Counter(facts_of(view.mesh).version_of(each) for each in view.components)
    for version, number in sorted(planes.items()):
        yield RunningVersion("control plane", version, number)
    proxies = Counter(proxy_origin(pod, view.mesh)[1] for pod in view.meshed)
    for version, number in sorted(proxies.items()):
        yield RunningVersion("sidecars", version, number, newest_control_plane(version))
