"""Sentences of a verdict: the effect with its interval, the data behind it, the limit, and what comes next.

Every number in them comes from ``numbers`` or from the conditions, so programs get the same values as people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.decide.evidence import Evidence
from meshkit.decide.formatting import count, odds, percent, seconds, share_of, worse
from meshkit.decide.ladder import stage
from meshkit.decide.verdict import Action, Condition, Progress

if TYPE_CHECKING:
    from meshkit.decide.margins import LatencyMargin
    from meshkit.intent.release import Release

Numbers = Mapping[str, float]

_SPACE = "\N{NO-BREAK SPACE}"


def of(
    action: Action,
    release: Release,
    evidence: Evidence,
    progress: Progress,
    conditions: Sequence[Condition],
    numbers: Numbers,
) -> tuple[str, ...]:
    """Return the sentences of a verdict, the most important first."""
    deciding = progress.step == release.deciding_step
    if action == "continue" and evidence.refused:
        return (*refused(evidence.refused), requests(release, numbers))
    if action == "rollback" and progress.step == len(release.ladder) - 1:
        return _rolled_back_alone(release, evidence, numbers)
    if action == "rollback":
        found = _rolled_back(release, evidence, conditions, numbers)
        return (*found, *_dealt(release, progress))
    if action == "undecided":
        then = "held" if release.at_deadline == "hold" else f"{release.stable} serves all requests"
        head = f"Not decided at the deadline of {seconds(numbers['deadline_s'])}: {then}."
        return (head, *_open(release, evidence, conditions), requests(release, numbers), *_needs(numbers))
    if action == "pause":
        return _paused(release, evidence, numbers)
    if action == "promote" and progress.step == len(release.ladder) - 1:
        why = (
            "A person promoted it before the evidence did." if progress.forced else _within(release, numbers)
        )
        head = f"{release.canary} serves all requests."
        return (head, why, requests(release, numbers), *_watched(release, progress, numbers))
    net = _harm(numbers, "the limit of rolling back")
    if action == "promote" and deciding and not release.at_once:
        said = (_within(release, numbers), requests(release, numbers), net)
        return (
            *said,
            *evidence.notes,
            basis(release, evidence, numbers),
            *_dealt(release, progress),
            *_kept(release, numbers),
        )
    if action == "promote":
        now, after = _stage(release, progress, numbers), stage(release, progress.step + 1)
        said = (f"{now} has passed; next is {after}.", requests(release, numbers), net)
        return (*said, *_dealt(release, progress), *(_kept(release, numbers) if deciding else ()))
    return _continuing(release, evidence, progress, conditions, numbers)


def _stage(release: Release, progress: Progress, numbers: Numbers) -> str:
    """The name of the present step, for the beginning of a sentence."""
    lead = release.lead_at(progress.step)
    return (
        f"The stage {stage(release, progress.step)}" if lead else f"Step {percent(numbers['step_percent'])}"
    )


def _dealt(release: Release, progress: Progress) -> tuple[str, ...]:
    """Say what a comparison of requests is worth that no weight has dealt out."""
    lead = release.lead_at(progress.step)
    if lead == "mirror":
        return (
            "These are copies of requests, timed by the proxies of the servers:"
            f" {release.canary} has answered no caller.",
        )
    if lead:
        chosen = release.cohort if lead == "cohort" else release.testers
        return (
            f"Requests with {chosen} were not drawn at random: whoever sends them may differ from all"
            " others by more than the version.",
        )
    return ()


def refused(reason: str) -> tuple[str, ...]:
    """Say why the latest measurement does not count, and what that means."""
    return (
        f"Held: {reason}.",
        "This measurement does not count; nothing moves until the next one that does.",
    )


def effect(release: Release, evidence: Evidence, numbers: Numbers) -> str:
    """Describe what is worse about the canary, by how much, from which data, and the margin."""
    parts = evidence.harm_parts
    cause = max(parts, key=lambda name: parts[name])
    if cause.startswith("objective"):
        return _against_objective(release, cause, numbers)
    both = f"side by side for {seconds(numbers['compared_s'])}"
    if cause == "errors":
        canary, stable = _failed(numbers, "canary"), _failed(numbers, "stable")
        times = _times(numbers, release.stable)
        return (
            f"{release.canary} fails more often: {canary} failed, {release.stable} {stable}, {both}; "
            f"{times}the margin is {numbers['error_points']:+g} points."
        )
    edge = evidence.worst_edge or 0
    name, canary, stable = (
        evidence.yardstick.names[edge],
        _slower(numbers, "canary"),
        _slower(numbers, "stable"),
    )
    change = worse(numbers.get("slower_low_percent"), numbers.get("slower_high_percent"))
    limit = f"; the margin is {percent(numbers[f'{name}_percent'])}" if f"{name}_percent" in numbers else ""
    return (
        f"{release.canary} is slower: {name} is {change} than {release.stable}'s. {canary} took longer than "
        f"{numbers['edge_ms']:.4g}{_SPACE}ms, {release.stable} {stable}, {both}{limit}."
    )


def basis(release: Release, evidence: Evidence, numbers: Numbers) -> str:
    """Describe how often such a verdict is wrong, and what this rate covers."""
    yardstick, stable = evidence.yardstick, release.stable
    head = f"Wrong for at most {percent(numbers['alpha_percent'])} of releases that are not worse"
    if yardstick.label == "pods not measured":
        return f"{head}, as far as requests go: differences between pods were not measured."
    if yardstick.few_pods:
        assumed = percent(numbers["assumed_pods_percent"])
        return f"{head}, if pods of one version differ by {assumed}: there are too few to measure it."
    if yardstick.label == "calibrated on A/A":
        times = f"{numbers['dispersion']:.2g}"
        return (
            f"{head}: {stable}'s own pods vary {times} times as much as chance has it, which was allowed for "
            "(calibrated on A/A, not exact)."
        )
    if yardstick.label == "pods measured":
        edge = max(range(len(yardstick.names)), key=lambda i: yardstick.tolerance_slower[i], default=None)
        name = "errors" if edge is None else yardstick.names[edge]
        widest = f"{numbers[f'{name}_tolerated_odds']:.3g}"
        return (
            f"{head}: {stable}'s {count(numbers['stable_pods'])} pods differ, so odds up to {widest} times "
            f"{stable}'s at {name} count as not worse."
        )
    return f"{head}: {stable}'s pods differ no more than that allows for."


def requests(release: Release, numbers: Numbers) -> str:
    """Describe how many requests of each version were seen, and for how long."""
    if not numbers["canary_requests"]:
        return f"{release.canary} has answered no request: no data is never success."
    canary, stable = _failed(numbers, "canary"), _failed(numbers, "stable")
    both = (
        f"{release.canary}: {canary} failed in {seconds(numbers['compared_s'])}; {release.stable}: {stable}."
    )
    return " ".join((both, *_unreached(release, numbers)))


def _unreached(release: Release, numbers: Numbers) -> tuple[str, ...]:
    """Say how many of the failed requests reached no pod, by the version against which they count."""
    arms = ((release.canary, numbers["canary_unreached"]), (release.stable, numbers["stable_unreached"]))
    found = [f"{count(lost)} reached no pod of {version}" for version, lost in arms if lost]
    return (f"Of the failed requests, {' and '.join(found)}.",) if found else ()


def condition(release: Release, found: Condition, *, never: str = "") -> str:
    """Describe one condition with its state: ``p99 at most 10 % worse (3.1 : 1 of 20 : 1)``.

    ``never`` says why no traffic could show it.
    """
    margins = release.margins
    if found.name == "share":
        agrees = "the share agrees"
        if release.lead_in and not found.met:
            return f"{release.canary} does not yet get the requests that it is to get"
        return agrees if found.met else "the measured share does not yet agree with the asked one"
    if found.name == "data":
        return f"{count(found.value)} canary requests in the latest look"
    if found.name == "input":
        return "a measurement that can be true"
    if found.name in ("time", "watch", "soak"):
        return f"{found.name} {seconds(found.value)} of {seconds(found.limit)}"
    if found.name == "requests":
        return f"{count(found.value)} of {count(found.limit)} canary requests judged in this step"
    if found.name == "harm":
        return f"evidence of harm {odds(found.value)}, to be below {odds(found.limit)}"
    if found.name == "leak":
        return "no slow leak" if found.met else "a slow leak"
    if found.name == "latency":
        return "no latency was measured before the first weight"
    state = f"({odds(found.value)} of {odds(found.limit)})"
    if never:
        state = f"(never: {never} or widen the margin)"
    if found.name == "errors":
        return f"errors at most {margins.error_points:+g} points {state}"
    return f"{found.name} at most {percent(getattr(margins, found.name + '_percent'))} worse {state}"


def _continuing(
    release: Release,
    evidence: Evidence,
    progress: Progress,
    conditions: Sequence[Condition],
    numbers: Numbers,
) -> tuple[str, ...]:
    if progress.step < 0:
        return (f"Measuring {release.stable} before the first weight.",)
    head = f"{_stage(release, progress, numbers)}."
    if progress.step > release.deciding_step and progress.step < len(release.ladder) - 1:
        kept = percent(numbers["keep_percent"])
        head = f"{release.canary} is promoted; {release.stable} keeps {kept} to watch for slow leaks."
    if progress.held:
        head += " Held; the safety net stays on."
    frozen = release.on_harm == "freeze"
    net = _harm(numbers, f"the {'weights are frozen' if frozen else 'release is rolled back'} there")
    waiting = _open(release, evidence, conditions)
    return (
        head,
        *waiting,
        *_needs(numbers),
        requests(release, numbers),
        net,
        *evidence.notes,
        *_dealt(release, progress),
        *_few_pods(release, evidence, numbers),
        *_unmet(release, evidence, numbers),
    )


def _rolled_back(
    release: Release, evidence: Evidence, conditions: Sequence[Condition], numbers: Numbers
) -> tuple[str, ...]:
    leaks = any(c.name == "leak" and not c.met for c in conditions)
    net = _harm(numbers, f"so {_acted(release)}")
    if leaks:
        days = f"{numbers['leak_alarm_days']:.2g}"
        net = f"The slow-leak detector has fired, which is wrong once in {days} days: {_acted(release)}."
    again = f"No margin changes that: harm is judged against {release.stable} itself."
    parts = evidence.harm_parts
    if max(parts, key=lambda name: parts[name]).startswith("objective"):
        again = "Another objective would: this one is what was declared."
        return (effect(release, evidence, numbers), *_unreached(release, numbers), net, again)
    then = (
        f"Correct {release.canary} and release again; if it is meant to be so, move the weights by a Route."
    )
    found = (effect(release, evidence, numbers), *_unreached(release, numbers), net, *evidence.notes)
    return (*found, basis(release, evidence, numbers), f"{again} {then}")


def _acted(release: Release) -> str:
    """What follows harm."""
    return "the weights are frozen" if release.on_harm == "freeze" else "the release is rolled back"


def _rolled_back_alone(release: Release, evidence: Evidence, numbers: Numbers) -> tuple[str, ...]:
    """Describe a rollback from serving all requests, by the part of ``alone_harm`` that decided."""
    parts = evidence.alone_parts
    cause = max(parts, key=lambda name: parts[name])
    if cause == "errors":
        whole, share = numbers["alone_requests"], numbers.get("alone_error_percent")
        now, before = share_of(numbers["alone_errors"], whole, share), _failed(numbers, "stable")
        worse_now = f"fails more often than {release.stable} did: {now} failed"
        limit = f"the margin is {numbers['error_points']:+g} points"
    else:
        now, before = (
            share_of(
                numbers[f"{arm}_{cause}_slower"],
                numbers[f"{arm}_timed"],
                numbers.get(f"{arm}_{cause}_slower_percent"),
            )
            for arm in ("alone", "stable")
        )
        edge_ms = numbers[f"{cause}_edge_ms"]
        worse_now = f"is slower than {release.stable} was: {now} took longer than {edge_ms:.4g}{_SPACE}ms"
        gross = percent(max(numbers["gross_percent"], numbers[f"{cause}_percent"]))
        limit = f"alone, only a {cause} that is {gross} longer is acted on"
    return (
        f"{release.canary} {worse_now} since it serves all requests, {before} before; {limit}.",
        *_unreached(release, numbers),
        _harm(numbers, f"so {_acted(release)}"),
        f"{release.stable} was not beside it: a cause outside of {release.canary} would look the same.",
    )


def _paused(release: Release, evidence: Evidence, numbers: Numbers) -> tuple[str, ...]:
    promise = _promise(evidence.shared_cause, numbers)
    return (
        f"Paused, a shared cause: both versions break the objective of {promise} now.",
        f"Nothing moves until it has passed: as {release.stable} suffers too, {release.canary} stays.",
        f"If it began with the first weight, {release.canary} may harm what both depend on, which no "
        "comparison can see: roll back by hand to find out.",
        requests(release, numbers),
    )


def _against_objective(release: Release, cause: str, numbers: Numbers) -> str:
    kind = cause.removeprefix("objective_")
    bad = share_of(numbers[f"{cause}_bad"], numbers[f"{cause}_requests"], numbers.get(f"{cause}_bad_percent"))
    verb = "failed" if kind == "errors" else "were slower"
    return (
        f"{release.canary} breaks your objective of {_promise(kind, numbers)}: {bad} {verb}, while "
        f"{release.stable} kept it."
    )


def _promise(kind: str, numbers: Numbers) -> str:
    if kind == "errors":
        return f"at most {percent(numbers['objective_error_percent'])} errors"
    slower, ms = numbers["objective_slower_percent"], numbers["objective_slower_than_ms"]
    return f"at most {percent(slower)} slower than {ms:.4g}{_SPACE}ms"


def _few_pods(release: Release, evidence: Evidence, numbers: Numbers) -> tuple[str, ...]:
    """Say that the canary's pods are worse, but no more than few pods of one version may differ."""
    if not evidence.yardstick.few_pods or evidence.harm_as_served < 1 / evidence.yardstick.alpha:
        return ()
    pods = count(numbers["stable_pods"]), count(numbers["canary_pods"])
    assumed = percent(numbers["assumed_pods_percent"])
    return (
        f"{release.canary}'s pods are worse than {release.stable}'s, but not more than {pods[0]} and "
        f"{pods[1]} pods of one version may differ ({assumed} assumed): it is neither promoted nor rolled "
        "back. Run at least four pods of each, or decide by hand.",
    )


def _unmet(release: Release, evidence: Evidence, numbers: Numbers) -> tuple[str, ...]:
    """Describe the objectives that were refused, each with the reason."""
    said = []
    for kind in evidence.yardstick.unmet:
        promise = _promise(kind, numbers)
        if kind == "slower" and "baseline_slower" not in numbers:
            said.append(f"The objective of {promise} was left out: no latency bucket ends there or above.")
            continue
        bad, whole = ("errors", "requests") if kind == "errors" else ("slower", "timed")
        share = numbers.get("baseline_error_percent" if kind == "errors" else "baseline_slower_percent")
        history = share_of(numbers[f"baseline_{bad}"], numbers[f"baseline_{whole}"], share)
        said.append(
            f"The objective of {promise} was left out: {release.stable} itself missed it before the start, "
            f"with {history}."
        )
    return tuple(said)


def _open(release: Release, evidence: Evidence, conditions: Sequence[Condition]) -> tuple[str, ...]:
    never = {m.quantile: _never(release, m) for m in evidence.yardstick.margins if m.refused}
    open_now = [c for c in conditions if c.needed and not c.met]
    waiting = [condition(release, c, never=never.get(c.name, "")) for c in open_now]
    return (f"Waiting for: {'; '.join(waiting)}.",) if waiting else ()


def _never(release: Release, margin: LatencyMargin) -> str:
    """Say why no traffic can show a margin."""
    if margin.carried:
        return f"{release.stable}'s own pods differ by more; add pods"
    return "the latency buckets are too wide; set finer ones"


def _needs(numbers: Numbers) -> tuple[str, ...]:
    """Describe how much longer would decide, if the canary is not worse."""
    best = ""
    if "needed_at_best_s" in numbers and numbers["needed_at_best_s"] < 0.8 * numbers.get("needed_s", 0.0):
        best = f", or {seconds(numbers['needed_at_best_s'])} at {percent(numbers['best_percent'])}"
    if "needed_s" in numbers and numbers["needed_s"] > 0:
        here = percent(numbers["step_percent"]) if numbers["step_percent"] else "this rate"
        return (f"About {seconds(numbers['needed_s'])} more at {here}{best} would show that it is no worse.",)
    return ()


def _within(release: Release, numbers: Numbers) -> str:
    m = release.margins
    return (
        f"{release.canary} stays within its margins of {release.stable}: "
        f"errors at most {m.error_points:+g} points, p50, p90 and p99 at most "
        f"{percent(m.p50_percent)}, {percent(m.p90_percent)} and {percent(m.p99_percent)} worse "
        f"({percent(numbers['confidence_percent'])} sure)."
    )


def _kept(release: Release, numbers: Numbers) -> tuple[str, ...]:
    """Describe what follows the promotion."""
    if not release.watch_s:
        return ()
    watch = seconds(numbers["watch_s"])
    if release.keeps_stable:
        kept = percent(numbers["keep_percent"])
        return (f"{release.stable} keeps {kept} for {watch}, to watch {release.canary} for slow leaks.",)
    return (f"Then it is watched alone for {watch}.",)


def _watched(release: Release, progress: Progress, numbers: Numbers) -> tuple[str, ...]:
    if not release.watch_s:
        return ()
    if release.keeps_stable and not progress.forced:
        kept = percent(numbers["keep_percent"])
        return (f"Watched for {seconds(numbers['watch_s'])} beside the {kept} that {release.stable} kept.",)
    gross = percent(numbers["gross_percent"])
    return (
        f"Watched for {seconds(numbers['step_elapsed_s'])} without a stable version beside it: only gross "
        f"decay would have shown, slowdowns under about {gross} would not.",
    )


def _harm(numbers: Numbers, then: str) -> str:
    return f"Evidence of harm is {odds(numbers['harm'])}; the limit is {odds(numbers['harm_limit'])}, {then}."


def _failed(numbers: Numbers, name: str) -> str:
    whole = numbers[f"{name}_requests"]
    return share_of(numbers[f"{name}_errors"], whole, numbers.get(f"{name}_error_percent"))


def _slower(numbers: Numbers, name: str) -> str:
    whole = numbers[f"{name}_timed"]
    return share_of(numbers[f"{name}_slower"], whole, numbers.get(f"{name}_slower_percent"))


def _times(numbers: Numbers, stable: str) -> str:
    """``2.1 to 9.5 times as often as v1; ``, as far as it is bounded."""
    low, high = numbers.get("failure_ratio_low", 0.0), numbers.get("failure_ratio_high")
    if low <= 1:
        return ""
    upto = f" to {high:.2g}" if high is not None else ""
    return f"{'' if upto else 'at least '}{low:.2g}{upto} times the odds of {stable}; "
