"""Where each stage of the guided path stands, told from the objects in the cluster. Pure functions.

Nothing is remembered between two looks: a second notebook, a second person and a restarted kernel are told
the same. What the metrics say comes as ``Calls``; "no traffic seen" is never read as "safe".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from meshkit import codes
from meshkit.cluster.ready import available
from meshkit.facts import Finding, Object, Severity, Snapshot
from meshkit.kube import workloads as kube_workloads
from meshkit.kube.kinds import ZONE
from meshkit.kube.metadata import title
from meshkit.kube.selectors import selects
from meshkit.meshes.injection import Injected, injected, webhooks
from meshkit.observe.callers import Calls
from meshkit.observe.unmeshed_workloads import labelled_control_plane, outsiders

State = Literal["done", "ready", "blocked", "attention"]
"""``ready``: its plan can be applied; ``blocked``: another stage comes first; ``attention``: look first."""
Tone = Literal["good", "warn", "bad", "note", "waiting"]
TITLES = {"istio": "Istio", "linkerd": "Linkerd"}
_OTHER = {"istio": "linkerd", "linkerd": "istio"}
_POLICY = "config.linkerd.io/default-inbound-policy"
_STRICT_POLICIES = ("all-authenticated", "cluster-authenticated")


@dataclass(frozen=True)
class Table:
    """Evidence of a stage: rows of text, each with a tone."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Tone, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Standing:
    """How far one stage is, in one line, with what was found and the evidence for it."""

    state: State
    summary: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What was seen of a cluster at one time. ``calls`` is None before two readings of the sidecars."""

    mesh: str
    namespace: str
    snapshot: Snapshot
    calls: Calls | None = None
    found: tuple[Finding, ...] = ()
    """What the checks of the whole cluster say: of installing before it is installed, else of its health."""

    @property
    def installed(self) -> bool:
        """Whether the mesh's injector is there."""
        return any(webhooks(self.snapshot, self.mesh))

    @property
    def workloads(self) -> tuple[Injected, ...]:
        """Every workload of the namespace: what its next pod would be, and what its pods are."""
        return injected(self.snapshot, self.mesh, self.namespace)


def preflight(sight: Sight) -> Standing:
    """Can this cluster carry the mesh? Asked before the first change, true afterwards too."""
    findings = [*(() if sight.installed else sight.found)]
    if not any(finding.code == codes.SECOND_MESH.id for finding in findings):
        findings += _other_mesh(sight)
    if sight.snapshot.find("Namespace", sight.namespace) is None:
        made = f"kubectl create namespace {sight.namespace}, or on the sandbox mk.deploy_shop(cluster)"
        remedy = f"Create it: {made}; or name another."
        problem = "does not exist."
        where = f"Namespace {sight.namespace}"
        findings.append(codes.finding(codes.SETUP_NAMESPACE_MISSING, where, problem, remedy))
    errors = sum(finding.severity == "error" for finding in findings)
    nodes = list(sight.snapshot.of("Node"))
    summary = f"{_count(len(nodes), 'node')} in {_count(len(_zones(nodes)), 'zone')}"
    if errors:
        return Standing("attention", _count(errors, "error"), tuple(findings))
    return Standing("done", summary, tuple(findings))


def control_plane(sight: Sight) -> Standing:
    """Is the mesh's control plane there, whole and trusted?"""
    hooks = list(webhooks(sight.snapshot, sight.mesh))
    if not hooks:
        return Standing("ready", "not installed")
    namespace = hooks[0]["clientConfig"]["service"]["namespace"]
    parts = [
        each
        for each in sight.snapshot.of("Deployment", namespace)
        if labelled_control_plane(each["spec"]["template"])
    ]
    findings = [
        codes.finding(
            codes.COMPONENT_UNAVAILABLE,
            f"Deployment {namespace}/{part['metadata']['name']}",
            f"has {_ready(part)} of {part['spec'].get('replicas', 1)} replicas.",
            "Look at its pods' events; new pods of meshed namespaces wait until it is back.",
        )
        for part in parts
        if not available(part)
    ]
    if not all(hook["clientConfig"].get("caBundle") for hook in hooks):
        where, problem = "MutatingWebhookConfiguration", "has no CA yet: new pods are refused."
        findings.append(codes.finding(codes.INJECTOR_UNTRUSTED, where, problem))
    if findings:
        return Standing(
            "attention", _count(len(findings), "error"), tuple(findings), _parts_table(sight, parts)
        )
    replicas = min((int(part["spec"].get("replicas", 1)) for part in parts), default=0)
    words = [f"{TITLES[sight.mesh]} {_version(parts)}".strip(), _count(replicas, "replica")]
    if not parts:
        words = [f"{TITLES[sight.mesh]}, runs outside this cluster"]
    return Standing("done", ", ".join(words), (), _parts_table(sight, parts))


def injection(sight: Sight) -> Standing:
    """Does every pod of the namespace have its sidecar, and would the next one?"""
    now = sight.workloads
    then = injected(sight.snapshot, sight.mesh, sight.namespace, marked=True)
    eligible = [one for one in then if not one.opted_out]
    behind = [one for one in eligible if one.meshed < one.pods]
    findings = (*_opted_out(then), *_to_restart_by_hand(sight, behind))
    tables = (_injection_table(now, then),)
    if not now:
        summary = f"no workload in {sight.namespace} yet"
        return Standing("ready", summary, findings)
    summary = f"{sum(one.meshed == one.pods for one in eligible)} of {_count(len(then), 'workload')}"
    if not behind and all(one.will for one in now if not one.opted_out):
        return Standing("done", summary, findings, tables)
    started = any(one.meshed for one in now)
    return Standing("attention" if started else "ready", summary, findings, tables)


def mutual_tls(sight: Sight) -> Standing:
    """Is plain text refused, and if not yet: who would be refused then?"""
    mode, tables = tls_mode(sight), _calls_tables(sight)
    if mode == "strict":
        findings = tuple(_refused_now(sight))
        return Standing("done", f"strict in {sight.namespace}", findings, tables)
    findings = tuple(readiness(sight))
    worst = [finding for finding in findings if finding.severity != "info" and sight.calls]
    plain = sum(
        finding.code == codes.PLAINTEXT_CALLS.id and finding.severity != "info" for finding in findings
    )
    summary = f"{mode}, {_count(plain, 'plaintext link')}" if plain else f"{mode}: plain text is accepted"
    return Standing("attention" if worst else "ready", summary, findings, tables)


def readiness(sight: Sight) -> Iterator[Finding]:
    """What stands against strict mutual TLS: plain text seen, and what could not be seen."""
    calls, where = sight.calls, f"Namespace {sight.namespace}"
    if calls is None:
        yield codes.finding(codes.CALLS_NOT_MEASURED, where, "has not been measured yet.")
        return
    for link, recent, ever in calls.links("plain"):
        yield _plaintext(sight, link.server, recent, ever)
    if not calls.count("plain", "mutual_tls"):
        problem = f"saw no call in {_seconds(calls.window_s)}. No traffic seen does not mean safe."
        yield codes.finding(codes.NO_CALLS_SEEN, where, problem)
    elif not any(link.how == "plain" for link in calls.in_window):
        problem = (
            f"saw {calls.count('mutual_tls'):,} calls in {_seconds(calls.window_s)}, all over mutual TLS."
        )
        yield codes.finding(codes.ALL_CALLS_ENCRYPTED, where, problem)
    if calls.answered < calls.asked:
        silent = _count(calls.asked - calls.answered, "sidecar")
        problem = f"{silent} of {calls.asked} did not answer."
        yield codes.finding(codes.SIDECARS_SILENT, where, problem)


def tls_mode(sight: Sight) -> str:
    """``strict``, ``permissive`` or ``disable``: what the namespace's servers accept now."""
    if sight.mesh == "linkerd":
        space = sight.snapshot.find("Namespace", sight.namespace)
        annotations = (space or {"metadata": {}})["metadata"].get("annotations") or {}
        return "strict" if annotations.get(_POLICY) in _STRICT_POLICIES else "permissive"
    for namespace in (sight.namespace, "istio-system"):
        for policy in sight.snapshot.of("PeerAuthentication", namespace):
            mode = ((policy.get("spec") or {}).get("mtls") or {}).get("mode", "UNSET")
            if not (policy.get("spec") or {}).get("selector") and mode != "UNSET":
                return str(mode).lower()
    return "permissive"


def access(sight: Sight) -> Standing:
    """Is it written down who may call the services of the namespace?"""
    found = sorted(obj["metadata"]["name"] for obj in access_rules(sight))
    if not found:
        return Standing("ready", "every meshed caller may call")
    return Standing("done", _count(len(found), "rule"))


def access_rules(sight: Sight) -> Iterator[Object]:
    """The mesh's own rules in the namespace: both meshes call them AuthorizationPolicy."""
    group = {"istio": "security.istio.io/", "linkerd": "policy.linkerd.io/"}[sight.mesh]
    for obj in sight.snapshot.of("AuthorizationPolicy", sight.namespace):
        if str(obj["apiVersion"]).startswith(group):
            yield obj


def routes(sight: Sight) -> Standing:
    """Do the services of the namespace have routes?"""
    kind = "VirtualService" if sight.mesh == "istio" else "HTTPRoute"
    found = sorted(obj["metadata"]["name"] for obj in sight.snapshot.of(kind, sight.namespace))
    if not found:
        return Standing("ready", "no route yet")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return Standing("done", f"{', '.join(found[:3])}{more}")


def verified(sight: Sight) -> Standing:
    """Does all of it hold at once, under the traffic that runs now?"""
    calls, where = sight.calls, f"Namespace {sight.namespace}"
    findings = [*sight.found, *_refused_now(sight)]
    if calls is None:
        return Standing("ready", "not measured yet", tuple(findings))
    if not calls.count("mutual_tls", "plain"):
        findings.append(codes.finding(codes.NOTHING_TO_VERIFY, where, "saw no traffic to judge by."))
        return Standing("attention", "no traffic seen", tuple(findings), _calls_tables(sight))
    plain, failed = calls.count("plain"), calls.count("failed")
    for link, recent, ever in calls.links("plain"):
        if recent:
            findings.append(_plaintext(sight, link.server, recent, ever))
    if failed:
        problem = f"{failed:,} requests of meshed callers got no answer in {_seconds(calls.window_s)}."
        findings.append(codes.finding(codes.REQUESTS_UNANSWERED, where, problem))
    whole = tls_mode(sight) == "strict" and all(one.settled for one in sight.workloads if not one.opted_out)
    bad = plain or failed or any(finding.severity == "error" for finding in findings)
    summary = f"{calls.count('mutual_tls'):,} calls in {_seconds(calls.window_s)}, {failed} failed"
    return Standing(
        "done" if whole and not bad else "attention", summary, tuple(findings), _calls_tables(sight)
    )


def _plaintext(sight: Sight, server: str, recent: int, ever: int) -> Finding:
    """One plaintext link; only a recent one is a warning, an old one is told all the same."""
    calls = sight.calls
    assert calls is not None
    rate = f"{recent / max(calls.window_s, 0.1):.1f} req/s over the last {_seconds(calls.window_s)}"
    since = f"{ever:,} in {_seconds(calls.seen_s)}"
    who = suspects(sight)
    callers = "; ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "")
    remedy = (
        f"Without a sidecar run {callers}: inject it, or strict mode refuses it."
        if who
        else ("No pod without a sidecar runs now: the caller has ended, or stands outside the cluster.")
    )
    problem = f"was called in plain text: {rate if recent else 'not lately'} ({since})."
    severity: Severity = "warning" if recent else "info"
    return codes.finding(codes.PLAINTEXT_CALLS, f"Server {server}", problem, remedy, severity=severity)


def suspects(sight: Sight) -> list[str]:
    """The workloads without a sidecar that could be a plaintext caller, those of the namespace first."""
    found = outsiders(sight.snapshot.of("Pod"), sight.mesh)
    return sorted(found, key=lambda name: (not name.startswith(f"{sight.namespace}/"), name))


def _refused_now(sight: Sight) -> Iterator[Finding]:
    for link, recent, _ in sight.calls.links("refused") if sight.calls else ():
        if recent:
            who = ", ".join(suspects(sight)[:3]) or "a caller outside the cluster"
            problem = (
                f"refused {recent:,} connections in {_seconds(sight.calls.window_s if sight.calls else 0)}."
            )
            remedy = f"Without a sidecar run: {who}. Inject it, or go back to permissive."
            yield codes.finding(codes.CONNECTIONS_REFUSED, f"Server {link.server}", problem, remedy)


def _calls_tables(sight: Sight) -> tuple[Table, ...]:
    calls = sight.calls
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
        who = " or ".join(suspects(sight)[:2]) if link.client == "unknown" else link.client
        client = f"unknown ({who}?)" if link.client == "unknown" and who else link.client
        rate = f"{recent / max(calls.window_s, 0.1):.1f}"
        rows.append((tone, (f"{client} → {link.server}", how, rate, f"{recent:,}", f"{ever:,}")))
    rows.sort(key=lambda row: ("bad", "warn", "note", "good").index(row[0]))
    note = f"{calls.answered} of {_count(calls.asked, 'sidecar')} answered, window {_seconds(calls.window_s)}"
    columns = ("who calls whom", "how", "req/s", "in the window", f"in {_seconds(calls.seen_s)}")
    return (Table("Who calls whom", note, columns, tuple(rows)),)


def _injection_table(now: Sequence[Injected], then: Sequence[Injected]) -> Table:
    rows: list[tuple[Tone, tuple[str, ...]]] = []
    for present, planned in zip(now, then, strict=True):
        tone: Tone = "good" if present.meshed == present.pods and present.will else "waiting"
        if not planned.will:
            tone = "warn"
        runs = f"{present.meshed} of {present.pods}"
        rows.append((tone, (present.workload, runs, "yes" if planned.will else "no", planned.why)))
    note = "next pod: once this stage is applied"
    return Table("Workloads", note, ("workload", "have a sidecar", "next pod", "why"), tuple(rows))


def _parts_table(sight: Sight, parts: Sequence[Object]) -> tuple[Table, ...]:
    nodes = {node["metadata"]["name"]: node for node in sight.snapshot.of("Node")}
    rows: list[tuple[Tone, tuple[str, ...]]] = []
    for part in parts:
        wanted = part["spec"]["selector"].get("matchLabels") or {}
        homes = [
            nodes[pod["spec"]["nodeName"]]
            for pod in sight.snapshot.of("Pod", part["metadata"]["namespace"])
            if selects(wanted, pod) and pod["spec"].get("nodeName") in nodes
        ]
        count = f"{_ready(part)} of {part['spec'].get('replicas', 1)}"
        tone: Tone = "good" if available(part) else "bad"
        rows.append((tone, (part["metadata"]["name"], count, _count(len(_zones(homes)), "zone"))))
    if not rows:
        return ()
    return (Table("Components", "", ("component", "replicas ready", "spread over"), tuple(rows)),)


def _opted_out(workloads: Sequence[Injected]) -> Iterator[Finding]:
    for one in workloads:
        if one.opted_out and one.pods:
            yield codes.finding(codes.WORKLOAD_OPTED_OUT, one.workload, f"gets no sidecar: {one.why}.")


def _to_restart_by_hand(sight: Sight, behind: Sequence[Injected]) -> Iterator[Finding]:
    rolling = {title(each) for each in kube_workloads.rolling(sight.snapshot, sight.namespace)}
    for one in behind:
        if one.workload not in rolling:
            yield codes.finding(codes.POD_WITHOUT_OWNER, one.workload, "runs without a sidecar.")


def _other_mesh(sight: Sight) -> Iterator[Finding]:
    other = _OTHER[sight.mesh]
    if any(webhooks(sight.snapshot, other)):
        problem = f"{TITLES[other]} is installed in this cluster, too."
        yield codes.finding(codes.SECOND_MESH, "MutatingWebhookConfiguration", problem)


def _version(parts: Sequence[Object]) -> str:
    images = [c["image"] for part in parts for c in part["spec"]["template"]["spec"]["containers"]]
    return str(images[0]).rpartition(":")[2] if images else ""


def _ready(deployment: Object) -> int:
    return int((deployment.get("status") or {}).get("availableReplicas", 0))


def _zones(nodes: Sequence[Object]) -> set[str]:
    labelled = (node["metadata"].get("labels") or {} for node in nodes)
    return {str(labels[ZONE]) for labels in labelled if ZONE in labels}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
