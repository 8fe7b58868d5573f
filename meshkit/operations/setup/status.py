"""Derive the status of each stage of the guided setup from the objects in the cluster.

These are pure functions without state between two calls, so that a second notebook, a second person and a
restarted kernel get the same answer. Metrics are passed as ``Calls``; "no traffic seen" never counts as
"safe".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from meshkit import codes
from meshkit.cluster.ready import available
from meshkit.decide.formatting import count
from meshkit.facts import Finding, Kind, Object, Severity, Snapshot
from meshkit.kube import workloads as kube_workloads
from meshkit.kube.kinds import ZONE
from meshkit.kube.metadata import title
from meshkit.kube.pods import image_tag
from meshkit.kube.selectors import selects
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.injection import Injected, injected, webhooks
from meshkit.observe.callers import Calls
from meshkit.observe.unmeshed_workloads import labelled_control_plane, unmeshed_workloads

State = Literal["done", "ready", "blocked", "attention"]
"""``ready``: it can be applied; ``blocked``: another stage comes first; ``attention``: it has problems."""
Tone = Literal["good", "warn", "bad", "note", "waiting"]


@dataclass(frozen=True)
class Table:
    """Evidence for a stage's status: rows of text, each with a tone."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Tone, tuple[str, ...]], ...]


@dataclass(frozen=True)
class StageStatus:
    """The status of one stage in one line, with its findings and evidence."""

    state: State
    summary: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class ClusterObservation:
    """What was read from a cluster at one time.

    ``calls`` is None before the sidecars' counters were read twice.
    """

    mesh: str
    namespace: str
    snapshot: Snapshot
    calls: Calls | None = None
    findings: tuple[Finding, ...] = ()
    """Findings of the checks of the whole cluster: preflight before the installation, health afterwards."""

    @property
    def row(self) -> Mesh:
        """The registry's entry of the mesh."""
        return registry.mesh(self.mesh)

    @property
    def installed(self) -> bool:
        """Whether the mesh's injector is installed."""
        return any(webhooks(self.snapshot, self.mesh))

    def of(self, kind: Kind) -> list[Object]:
        """The objects of a kind in the namespace, in any version of its group."""
        objects = self.snapshot.of(kind.kind, self.namespace)
        return [obj for obj in objects if Kind(obj["apiVersion"], obj["kind"]).group == kind.group]

    @property
    def workloads(self) -> tuple[Injected, ...]:
        """Every workload of the namespace: how its next pod would be injected, and how its pods are."""
        return injected(self.snapshot, self.mesh, self.namespace)


def preflight(observed: ClusterObservation) -> StageStatus:
    """Can the cluster run the mesh? This applies before and after the installation."""
    findings = [*(() if observed.installed else observed.findings)]
    if not any(finding.code == codes.SECOND_MESH.id for finding in findings):
        findings += _other_mesh(observed)
    if observed.snapshot.find("Namespace", observed.namespace) is None:
        shop = "on the sandbox 'meshkit sandbox shop' (mk.deploy_shop)"
        remedy = f"Create it: kubectl create namespace {observed.namespace}, or {shop}; or name another."
        problem = "does not exist."
        where = f"Namespace {observed.namespace}"
        findings.append(codes.finding(codes.SETUP_NAMESPACE_MISSING, where, problem, remedy))
    errors = sum(finding.severity == "error" for finding in findings)
    nodes = list(observed.snapshot.of("Node"))
    summary = f"{_count(len(nodes), 'node')} in {_count(len(_zones(nodes)), 'zone')}"
    if errors:
        return StageStatus("attention", _count(errors, "error"), tuple(findings))
    return StageStatus("done", summary, tuple(findings))


def control_plane(observed: ClusterObservation) -> StageStatus:
    """Is the mesh's control plane installed, available and trusted?"""
    hooks = list(webhooks(observed.snapshot, observed.mesh))
    if not hooks:
        return StageStatus("ready", "not installed")
    namespace = hooks[0]["clientConfig"]["service"]["namespace"]
    parts = [
        deployment
        for deployment in observed.snapshot.of("Deployment", namespace)
        if labelled_control_plane(deployment["spec"]["template"])
    ]
    findings = [
        codes.finding(
            codes.COMPONENT_UNAVAILABLE,
            f"Deployment {namespace}/{part['metadata']['name']}",
            f"has {_ready(part)} of {part['spec'].get('replicas', 1)} replicas.",
            "Check the events of its pods; new pods of meshed namespaces wait until it is available.",
        )
        for part in parts
        if not available(part)
    ]
    if not all(hook["clientConfig"].get("caBundle") for hook in hooks):
        where, problem = "MutatingWebhookConfiguration", "has no CA yet: new pods are refused."
        findings.append(codes.finding(codes.INJECTOR_UNTRUSTED, where, problem))
    if findings:
        return StageStatus(
            "attention", _count(len(findings), "error"), tuple(findings), _parts_table(observed, parts)
        )
    replicas = min((int(part["spec"].get("replicas", 1)) for part in parts), default=0)
    words = [f"{observed.row.title} {_version(parts)}".strip(), _count(replicas, "replica")]
    if not parts:
        words = [f"{observed.row.title}, runs outside this cluster"]
    return StageStatus("done", ", ".join(words), (), _parts_table(observed, parts))


def injection(observed: ClusterObservation) -> StageStatus:
    """Does every pod of the namespace have its sidecar, and will its next one?"""
    now = observed.workloads
    then = injected(observed.snapshot, observed.mesh, observed.namespace, marked=True)
    eligible = [workload for workload in then if not workload.opted_out and not workload.needs_none]
    behind = [workload for workload in eligible if workload.outside]
    findings = (*_opted_out(then), *_to_restart_by_hand(observed, behind))
    tables = (_injection_table(now, then),)
    if not now:
        summary = f"no workload in {observed.namespace} yet"
        return StageStatus("ready", summary, findings)
    summary = (
        f"{sum(workload.meshed == workload.pods for workload in eligible)} of {_count(len(then), 'workload')}"
    )
    if then and not eligible and not any(workload.opted_out for workload in then):
        summary = f"{_count(len(then), 'workload')}, in the mesh without sidecars"
        return StageStatus("done", summary, findings, tables)
    if not behind and all(
        workload.will for workload in now if not workload.opted_out and not workload.needs_none
    ):
        return StageStatus("done", summary, findings, tables)
    started = any(workload.meshed for workload in now)
    return StageStatus("attention" if started else "ready", summary, findings, tables)


def mutual_tls(observed: ClusterObservation) -> StageStatus:
    """Is plain text refused, and if not yet, which callers would be refused?"""
    mode, tables = tls_mode(observed), _calls_tables(observed)
    if mode == "strict":
        findings = (*_refused_now(observed), *_refusals_unseen(observed))
        return StageStatus("done", f"strict in {observed.namespace}", findings, tables)
    ready = tuple(readiness(observed))
    findings = (*ready, *_refusals_unseen(observed))
    worst = [finding for finding in ready if finding.severity != "info" and observed.calls]
    plain = sum(
        finding.code == codes.PLAINTEXT_CALLS.id and finding.severity != "info" for finding in findings
    )
    summary = f"{mode}, {_count(plain, 'plaintext link')}" if plain else f"{mode}: plain text is accepted"
    return StageStatus("attention" if worst else "ready", summary, findings, tables)


def readiness(observed: ClusterObservation) -> Iterator[Finding]:
    """Yield what prevents strict mutual TLS: plaintext calls, and traffic that was not observed."""
    calls, where = observed.calls, f"Namespace {observed.namespace}"
    if calls is None:
        yield codes.finding(codes.CALLS_NOT_MEASURED, where, "has not been measured yet.")
        return
    for link, recent, ever in calls.links("plain"):
        yield _plaintext(observed, link.server, recent, ever)
    if not calls.count("plain", "mutual_tls"):
        problem = f"saw no call in {_seconds(calls.window_s)}. No traffic seen does not mean safe."
        yield codes.finding(codes.NO_CALLS_SEEN, where, problem)
    elif not any(link.how == "plain" for link in calls.in_window):
        sealed = count(calls.count("mutual_tls"))
        problem = f"saw {sealed} calls in {_seconds(calls.window_s)}, all over mutual TLS."
        yield codes.finding(codes.ALL_CALLS_ENCRYPTED, where, problem)
    yield from _silent(calls, where)


def _silent(calls: Calls, where: str) -> Iterator[Finding]:
    """Yield that some sidecars did not answer: what they have counted is not known."""
    if calls.answered < calls.asked:
        problem = f"{_count(calls.asked - calls.answered, 'sidecar')} of {calls.asked} did not answer."
        yield codes.finding(codes.SIDECARS_SILENT, where, problem)


def tls_mode(observed: ClusterObservation) -> str:
    """The current mode of the namespace's servers: ``strict``, ``permissive`` or ``disable``."""
    return observed.row.mutual_tls(observed.snapshot, observed.namespace)


def access(observed: ClusterObservation) -> StageStatus:
    """Do rules define who may call the services of the namespace?"""
    names = sorted(obj["metadata"]["name"] for obj in access_rules(observed))
    shadow = observed.row.shadow
    trials = [title(each) for each in observed.of(shadow.kind) if shadow.is_on(each)] if shadow else []
    if trials:
        found = tuple(codes.finding(codes.RULE_ON_TRIAL, where, "refuses nobody yet.") for where in trials)
        return StageStatus("attention", "on trial: nobody is refused", found)
    if not names:
        return StageStatus("ready", "every meshed caller may call")
    return StageStatus("done", _count(len(names), "rule"))


def access_rules(observed: ClusterObservation) -> list[Object]:
    """The mesh's own rules in the namespace; another mesh may have a kind with the same name."""
    return observed.of(observed.row.kinds.access)


def routes(observed: ClusterObservation) -> StageStatus:
    """Do the services of the namespace have routes?"""
    kinds = observed.row.kinds.routes
    names = sorted(obj["metadata"]["name"] for kind in kinds for obj in observed.of(kind))
    if not names:
        return StageStatus("ready", "no route yet")
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return StageStatus("done", f"{', '.join(names[:3])}{more}")


def verified(observed: ClusterObservation) -> StageStatus:
    """Does the whole setup hold at once, under the current traffic?"""
    calls, where = observed.calls, f"Namespace {observed.namespace}"
    findings = [*observed.findings, *_refused_now(observed), *_refusals_unseen(observed)]
    if calls is None:
        return StageStatus("ready", "not measured yet", tuple(findings))
    findings += _silent(calls, where)
    if not calls.count("mutual_tls", "plain"):
        findings.append(codes.finding(codes.NOTHING_TO_VERIFY, where, "saw no traffic to judge by."))
        return StageStatus("attention", "no traffic seen", tuple(findings), _calls_tables(observed))
    plain, failed = calls.count("plain"), calls.count("failed")
    for link, recent, ever in calls.links("plain"):
        if recent:
            findings.append(_plaintext(observed, link.server, recent, ever))
    if failed:
        problem = f"{count(failed)} requests of meshed callers got no answer in {_seconds(calls.window_s)}."
        findings.append(codes.finding(codes.REQUESTS_UNANSWERED, where, problem))
    whole = tls_mode(observed) == "strict" and all(
        workload.settled for workload in observed.workloads if not workload.opted_out
    )
    bad = (
        plain
        or failed
        or calls.answered < calls.asked
        or any(finding.severity == "error" for finding in findings)
    )
    summary = f"{count(calls.count('mutual_tls'))} calls in {_seconds(calls.window_s)}, {failed} failed"
    if calls.answered < calls.asked:
        summary += f"; {calls.answered} of {_count(calls.asked, 'sidecar')} answered"
    return StageStatus(
        "done" if whole and not bad else "attention", summary, tuple(findings), _calls_tables(observed)
    )


def _plaintext(observed: ClusterObservation, server: str, recent: int, ever: int) -> Finding:
    """Describe one plaintext link; a recent one is a warning, an older one is for information."""
    calls = observed.calls
    assert calls is not None
    rate = f"{recent / max(calls.window_s, 0.1):.1f} req/s over the last {_seconds(calls.window_s)}"
    since = f"{count(ever)} in {_seconds(calls.seen_s)}"
    who = suspects(observed)
    callers = "; ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "")
    remedy = (
        f"These run without a sidecar: {callers}. Inject them, or strict mode refuses them."
        if who
        else ("No pod without a sidecar runs now: the caller has ended, or is outside the cluster.")
    )
    problem = f"was called in plain text: {rate if recent else 'not lately'} ({since})."
    severity: Severity = "warning" if recent else "info"
    return codes.finding(codes.PLAINTEXT_CALLS, f"Server {server}", problem, remedy, severity=severity)


def suspects(observed: ClusterObservation) -> list[str]:
    """The workloads without a sidecar that could be a plaintext caller, those of the namespace first."""
    seen = observed.snapshot
    found = unmeshed_workloads(seen.of("Pod"), observed.mesh, seen.of("Namespace"))
    return sorted(found, key=lambda name: (not name.startswith(f"{observed.namespace}/"), name))


def _refused_now(observed: ClusterObservation) -> Iterator[Finding]:
    for link, recent, _ in observed.calls.links("refused") if observed.calls else ():
        if recent:
            who = ", ".join(suspects(observed)[:3]) or "a caller outside the cluster"
            window_s = observed.calls.window_s if observed.calls else 0
            problem = f"refused {count(recent)} connections in {_seconds(window_s)}."
            remedy = f"These run without a sidecar: {who}. Inject them, or go back to permissive."
            yield codes.finding(codes.CONNECTIONS_REFUSED, f"Server {link.server}", problem, remedy)


def _refusals_unseen(observed: ClusterObservation) -> Iterator[Finding]:
    """Yield the servers whose sidecars do not show refused connections, which is not the same as none."""
    setting = observed.row.metrics.refusal_setting
    for server in sorted(observed.calls.unseen) if observed.calls else ():
        problem = "does not show the connections that it refuses."
        remedy = f"Set {setting}, and restart its pods."
        yield codes.finding(codes.REFUSALS_NOT_SHOWN, f"Server {server}", problem, remedy)


def _calls_tables(observed: ClusterObservation) -> tuple[Table, ...]:
    calls = observed.calls
    if calls is None:
        return ()
    words: Mapping[str, tuple[Tone, str]] = {
        "mutual_tls": ("good", "mutual TLS"),
        "plain": ("warn", "plain text"),
        "refused": ("bad", "refused"),
        "failed": ("bad", "no answer"),
    }
    rows = []
    for link, recent, ever in calls.links("refused", "failed", "plain", "mutual_tls"):
        tone, how = words[link.how]
        if link.how != "mutual_tls" and not recent:
            tone = "note"
        who = " or ".join(suspects(observed)[:2]) if link.client == "unknown" else link.client
        client = f"unknown ({who}?)" if link.client == "unknown" and who else link.client
        rate = f"{recent / max(calls.window_s, 0.1):.1f}"
        rows.append((tone, (f"{client} → {link.server}", how, rate, count(recent), count(ever))))
    rows.sort(key=lambda row: ("bad", "warn", "note", "good").index(row[0]))
    note = f"{calls.answered} of {_count(calls.asked, 'sidecar')} answered, window {_seconds(calls.window_s)}"
    columns = ("who calls whom", "how", "req/s", "in the window", f"in {_seconds(calls.seen_s)}")
    return (Table("Who calls whom", note, columns, tuple(rows)),)


def _injection_table(now: Sequence[Injected], then: Sequence[Injected]) -> Table:
    rows: list[tuple[Tone, tuple[str, ...]]] = []
    for present, planned in zip(now, then, strict=True):
        tone: Tone = "good" if present.meshed == present.pods and present.will else "waiting"
        if not planned.will:
            tone = "good" if planned.needs_none and not planned.outside else "warn"
        runs = f"{present.meshed} of {present.pods}"
        rows.append((tone, (present.workload, runs, "yes" if planned.will else "no", planned.why)))
    note = "next pod: once this stage is applied"
    return Table("Workloads", note, ("workload", "have a sidecar", "next pod", "why"), tuple(rows))


def _parts_table(observed: ClusterObservation, parts: Sequence[Object]) -> tuple[Table, ...]:
    nodes = {node["metadata"]["name"]: node for node in observed.snapshot.of("Node")}
    rows: list[tuple[Tone, tuple[str, ...]]] = []
    for part in parts:
        wanted = part["spec"]["selector"].get("matchLabels") or {}
        homes = [
            nodes[pod["spec"]["nodeName"]]
            for pod in observed.snapshot.of("Pod", part["metadata"]["namespace"])
            if selects(wanted, pod) and pod["spec"].get("nodeName") in nodes
        ]
        ready = f"{_ready(part)} of {part['spec'].get('replicas', 1)}"
        tone: Tone = "good" if available(part) else "bad"
        rows.append((tone, (part["metadata"]["name"], ready, _count(len(_zones(homes)), "zone"))))
    if not rows:
        return ()
    return (Table("Components", "", ("component", "replicas ready", "spread over"), tuple(rows)),)


def _opted_out(workloads: Sequence[Injected]) -> Iterator[Finding]:
    for workload in workloads:
        if workload.opted_out and workload.pods:
            yield codes.finding(
                codes.WORKLOAD_OPTED_OUT, workload.workload, f"gets no sidecar: {workload.why}."
            )


def _to_restart_by_hand(observed: ClusterObservation, behind: Sequence[Injected]) -> Iterator[Finding]:
    rolling = {title(each) for each in kube_workloads.rolling(observed.snapshot, observed.namespace)}
    for one in behind:
        if one.workload not in rolling:
            yield codes.finding(codes.POD_WITHOUT_OWNER, one.workload, "runs without a sidecar.")


def _other_mesh(observed: ClusterObservation) -> Iterator[Finding]:
    for row in registry.MESHES.values():
        if row is not observed.row and any(row.injection.webhooks(observed.snapshot)):
            problem = f"{row.title} is also installed in this cluster."
            yield codes.finding(codes.SECOND_MESH, "MutatingWebhookConfiguration", problem)


def _version(parts: Sequence[Object]) -> str:
    images = [c["image"] for part in parts for c in part["spec"]["template"]["spec"]["containers"]]
    return image_tag(str(images[0])) if images else ""


def _ready(deployment: Object) -> int:
    return int((deployment.get("status") or {}).get("availableReplicas", 0))


def _zones(nodes: Sequence[Object]) -> set[str]:
    labelled = (node["metadata"].get("labels") or {} for node in nodes)
    return {str(labels[ZONE]) for labels in labelled if ZONE in labels}


def _count(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
