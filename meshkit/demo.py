"""The demo: from an empty sandbox to one promoted and one rolled-back release, with verified results.

Every step that changes the mesh is a shipped runbook that papermill executes, as in CI. The results are
verified with the load generator's request log, which is independent of the code that decides about releases.
The margins and times are for the demo only: a real release takes minutes per step and tolerates far less
(docs/ideas/verdict.md).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshkit.decide.formatting import count
from meshkit.errors import MeshkitError, RunbookFailed
from meshkit.intent.injection import Injection
from meshkit.observe.callers import between, read_callers
from meshkit.observe.unmeshed_workloads import unmeshed_workloads
from meshkit.operations import shop
from meshkit.operations.change import apply, plan
from meshkit.operations.release.runner import release_state
from meshkit.runbooks.execution import RunbookResult, run_runbook
from meshkit.views.demo_page import Claim, Episode, Run, demo_page

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

RPS = 220.0
"""Requests per second of the demo's caller."""
LEAST_RPS = 200.0
"""The minimum request rate over the whole good release, by the request log."""
SLOWER_BY_MS = 200.0
"""A request that the bad version answers counts as harmed if it exceeds the stable version's median by this
much. A slow answer of the stable version is the machine's."""
MOST_HARMED_PERCENT = 1.0
LATE_TIMES = 2.0
"""A request whose answer takes so many times the stable version's median is late."""
RELEASE_PARAMETERS: Mapping[str, str] = {
    "steps": "0.1,10,50,100",
    "step_s": "4",
    "look_s": "1",
    "min_requests": "2",
    "warm_up_s": "5",
    "baseline_s": "0",
    "soak_s": "0",
    "watch_s": "0",
    "deadline_s": "120",
    "error_points": "5",
    "p50_percent": "300",
    "p90_percent": "400",
    "p99_percent": "400",
}
"""The release parameters of the demo: steps of seconds, with wide margins because there are few requests.

The first step is 0.1 %, so that a canary that harms every request is rolled back before it harms 1 % of all
requests, even if it gets several of the first requests. Failed requests count from the first second on, slow
ones from the fifth. The margins are what the meshes' default latency buckets can show within seconds.
"""

PLAIN_TEXT_S = 1.5
"""How long plaintext calls are counted: enough for three requests of the caller without a sidecar."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class DemoResult:
    """The result of the demo. ``as_expected`` is true if every claim was met; ``page`` is the HTML report."""

    as_expected: bool
    claims: tuple[Claim, ...]
    page: Path
    duration_s: float


@dataclass
class _Walk:
    """A running demo: its progress log and the results of the runbooks so far."""

    cluster: Cluster
    mesh: str
    out: Path
    log: Log
    began_s: float = field(default_factory=time.monotonic)
    results: list[RunbookResult] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        self.log(f"{time.monotonic() - self.began_s:6.1f} s  {sentence}")

    def run(self, name: str, given: Mapping[str, str], *, as_name: str, expected: int = 0) -> RunbookResult:
        """Run a runbook on the demo's cluster. Raises RunbookFailed for an unexpected exit code."""
        self.tell(f"{as_name} ...")
        where = {
            "context": self.cluster.context,
            "kubeconfig": str(self.cluster.kubeconfig or ""),
            "mesh": self.mesh,
        }
        result = run_runbook(name, {**where, **given}, out=self.out, as_name=as_name)
        self.results.append(result)
        if result.exit_code != expected:
            raise RunbookFailed(
                f"{as_name}: exit code {result.exit_code} instead of {expected}: {result.error or 'done'}",
                remedy=f"Open {result.report}.",
            )
        self.tell(f"{as_name}: {result.error or 'done'} ({result.duration_s:.1f} s)")
        return result


def run_demo(cluster: Cluster, *, mesh: str, out: Path, log: Log) -> DemoResult:
    """Run the demo on ``cluster``, a sandbox without a mesh; write notebooks and ``index.html`` to ``out``.

    Raises the error of the first step that fails; no page is written then.
    """
    walk = _Walk(cluster, mesh, out, log)
    found = _prepare(walk)
    strict_s = time.time()
    good = _good_release(walk)
    bad = _release(walk, "bad release", stable="v2", canary="v3", expected=1)
    claims = (_brought_in_claim(walk, found, strict_s), *_good_claims(good), *_bad_claims(bad))
    duration_s = time.monotonic() - walk.began_s
    page = out / "index.html"
    page.write_text(
        demo_page(
            mesh=mesh,
            claims=claims,
            episodes=(good.episode, bad.episode),
            runs=[
                Run(r.notebook.stem, r.duration_s, r.exit_code, r.notebook.name, r.report.name)
                for r in walk.results
            ],
            settings={**RELEASE_PARAMETERS, "requests a second": f"{RPS:g}"},
            duration_s=duration_s,
        ),
        encoding="utf-8",
    )
    for claim in claims:
        walk.tell(f"{'ok    ' if claim.true else 'FAILED'}  {claim.statement}: {claim.measured}")
    return DemoResult(all(claim.true for claim in claims), claims, page, duration_s)


def _prepare(walk: _Walk) -> tuple[str, ...]:
    """Install the control plane, the shop, sidecars, mutual TLS and the route that the releases shift.

    Returns the workloads that strict mutual TLS would have cut off, found before it was enabled.
    """
    walk.run("install_control_plane", {"apply": "true"}, as_name="1_install_control_plane")
    shop.deploy_shop(walk.cluster, rps=RPS, unmeshed=True)
    walk.tell("the shop runs without sidecars: two callers, three versions, one dependency")
    here = {"namespace": shop.NAMESPACE, "apply": "true"}
    walk.run("onboard_namespace", here, as_name="2_onboard_namespace")
    found = _bring_in_who_speaks_plain_text(walk)
    brief = {"window_s": f"{PLAIN_TEXT_S:g}", "watch_s": "6"}
    walk.run("enforce_mtls", {**here, **brief}, as_name="3_enforce_mtls")
    shop.route_shop(walk.cluster, *shop.VERSIONS, mesh=walk.mesh)
    walk.tell("the route gives all requests to v1")
    return found


def _bring_in_who_speaks_plain_text(walk: _Walk) -> tuple[str, ...]:
    """Find the callers whose plaintext requests strict mode would refuse, and give them sidecars."""
    cluster, mesh = walk.cluster, walk.mesh
    before = read_callers(cluster, mesh, shop.NAMESPACE)
    time.sleep(PLAIN_TEXT_S)
    calls = between(before, read_callers(cluster, mesh, shop.NAMESPACE))
    if not calls.count("plain"):
        return ()
    names = tuple(unmeshed_workloads(cluster.api.list(shop.POD)))
    rate = calls.count("plain") / calls.window_s
    who = ", ".join(names)
    walk.tell(f"{rate:.1f} requests a second are still in plain text; workloads without a sidecar: {who}")
    namespaces = sorted({name.partition("/")[0] for name in names})
    injections = [Injection(namespace=namespace) for namespace in namespaces]
    apply(plan(injections, cluster, mesh=mesh), cluster)
    _wait_until_ended(walk, namespaces)
    walk.tell(f"given a sidecar before mutual TLS becomes strict: {who}")
    return names


def _wait_until_ended(walk: _Walk, namespaces: Sequence[str]) -> None:
    """Wait until the replaced pods are gone, because they send plaintext requests until then."""
    until_s = time.monotonic() + 30.0
    while time.monotonic() < until_s:
        pods = [pod for namespace in namespaces for pod in walk.cluster.api.list(shop.POD, namespace)]
        if not any("deletionTimestamp" in pod["metadata"] for pod in pods):
            return
        time.sleep(0.1)


@dataclass(frozen=True)
class _ReleaseResult:
    """A release and the entries of the request log for its duration."""

    episode: Episode
    ledger: shop.Ledger
    seconds: float


def _good_release(walk: _Walk) -> _ReleaseResult:
    """Release v2, and once more if v1 was faster only because v2's pods stood still, by the request log."""
    since_s = time.time()
    try:
        return _release(walk, "good release", stable="v1", canary="v2", expected=0)
    except RunbookFailed:
        time.sleep(1.0)  # the last requests are not answered yet
        ledger = shop.read_ledger(walk.cluster, since_s, time.time())
        late_ms = LATE_TIMES * (ledger.median_ms("v1") or 0.0)
        if not ledger.stalled("v2", "v1", than_ms=late_ms):
            raise
        late, answers = ledger.late("v2", than_ms=late_ms)
    walk.tell(
        f"this machine stood still: {late} of {count(answers)} answers of v2, which is as fast as v1, took"
        f" longer than {late_ms:.0f} ms; v2 is released again"
    )
    return _release(walk, "good release", stable="v1", canary="v2", expected=0, name="web-v2-again")


def _release(
    walk: _Walk, title: str, *, stable: str, canary: str, expected: int, name: str = ""
) -> _ReleaseResult:
    name = name or f"web-{canary}"
    given = {"name": name, "stable": stable, "canary": canary, **RELEASE_PARAMETERS, "apply": "true"}
    number = len(walk.results) + 1
    with _narrated(walk, name):
        walk.run("release", given, as_name=f"{number}_release_{canary}", expected=expected)
    state = release_state(name, walk.cluster)
    first_s = next(h.at_s for h in state.events if h.kind == "weights")
    last_s = state.ended_s or time.time()
    time.sleep(1.0)  # the last requests are not answered yet
    ledger = shop.read_ledger(walk.cluster, first_s, last_s)
    return _ReleaseResult(Episode(title=title, state=state), ledger, last_s - first_s)


@contextlib.contextmanager
def _narrated(walk: _Walk, name: str) -> Iterator[None]:
    """Log each new weight of a release while its runbook runs."""
    over = threading.Event()

    def watch() -> None:
        last: float | None = None
        while not over.wait(0.5):
            with contextlib.suppress(MeshkitError):
                looks = release_state(name, walk.cluster).looks
                asked = looks[-1].look.asked_percent if looks else None
                if asked != last:
                    walk.tell(f"{name}: {asked:g} % of the requests")
                    last = asked

    watcher = threading.Thread(target=watch, name=f"narrate {name}")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _brought_in_claim(walk: _Walk, found: tuple[str, ...], since_s: float) -> Claim:
    """The claim about the caller without a sidecar, by its own request log since strict mutual TLS."""
    forgotten = (shop.UNMESHED_NAMESPACE, shop.UNMESHED)
    ledger = shop.read_ledger(walk.cluster, since_s, time.time() - 1.0, caller=forgotten)
    unanswered = sum(status in (0, 403) for status in ledger.status)
    return Claim(
        "The caller without a sidecar is found and gets one before mutual TLS is strict; no call is refused",
        f"found: {', '.join(found) or 'none'}; {unanswered} of {count(len(ledger))} refused",
        "/".join(forgotten) in found and len(ledger) > 0 and unanswered == 0,
    )


def _good_claims(result: _ReleaseResult) -> tuple[Claim, ...]:
    ledger = result.ledger
    rate = len(ledger) / result.seconds if result.seconds else 0.0
    return (
        Claim(
            "The good release is promoted",
            result.episode.state.status,
            result.episode.state.status == "promoted",
        ),
        Claim(
            "No request fails while the good release shifts weights",
            f"{ledger.failed} of {count(len(ledger))} failed",
            len(ledger) > 0 and ledger.failed == 0,
        ),
        Claim(
            f"The load is at least {LEAST_RPS:g} requests a second",
            f"{rate:.0f} requests a second",
            rate >= LEAST_RPS,
        ),
    )


def _bad_claims(result: _ReleaseResult) -> tuple[Claim, ...]:
    ledger, state = result.ledger, result.episode.state
    release = state.release
    median_ms = ledger.median_ms(release.stable)
    harmed = ledger.harmed(release.canary, slower_than_ms=(median_ms or 0.0) + SLOWER_BY_MS)
    percent = 100 * harmed / len(ledger) if len(ledger) else 100.0
    return (
        Claim(
            "The bad release is rolled back", state.status.replace("_", " "), state.status == "rolled_back"
        ),
        Claim(
            f"While it shifts weights, fewer than {MOST_HARMED_PERCENT:g} % of the requests fail, or are "
            f"answered by {release.canary} {SLOWER_BY_MS:g} ms later than the median of {release.stable}",
            f"{harmed} of {count(len(ledger))} ({percent:.2f} %); median {median_ms or 0:.1f} ms",
            median_ms is not None and percent < MOST_HARMED_PERCENT,
        ),
    )
