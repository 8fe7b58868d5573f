"""Ask the gates of a running release, in every iteration and without delaying it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meshkit.errors import ClusterError, NoData
from meshkit.facts import Kind
from meshkit.operations.release.baseline import workload_of
from meshkit.operations.release.gates.answers import Answer, Question, from_annotation, from_file
from meshkit.operations.release.gates.waiting import GATE, GateState, annotation_of, refusal
from meshkit.operations.release.notices.webhook import ANSWER_TIMEOUT_S, Post, address_of, post
from meshkit.operations.release.route import route_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.release.commands import Approval
    from meshkit.operations.release.state.model import ReleaseState

ASK_S = 10.0
"""Time between two requests to a webhook that has not decided."""


class Gatekeeper:
    """The questions of one release to whoever opens its gates."""

    def __init__(self, state: ReleaseState, cluster: Cluster, *, posting: Post = post) -> None:
        self._cluster = cluster
        self._route = route_of(state.route)
        self._posting = posting
        self._questions: dict[str, Question] = {}
        self._asked_s: dict[str, float] = {}
        self._workload: tuple[Kind, str] | None = None
        self._problems: dict[str, None] = {}
        self._told = 0

    def records(
        self, state: ReleaseState, approvals: Mapping[str, Approval], now_s: float
    ) -> Iterator[dict[str, Any]]:
        """The records of the gates that were answered or have expired since the last iteration.

        A gate does not expire while a person holds the release.
        """
        for each in state.gates:
            if not each.closed:
                continue
            answer = self._answer(each, state, approvals, now_s)
            record = {"kind": GATE, "gate": each.gate.name}
            if answer is not None:
                yield {**record, "answer": answer.word, "who": answer.who, "why": answer.why}
            elif each.answer == "waits" and now_s >= each.until_s and not state.held:
                yield {**record, "answer": "expired"}

    def new_problems(self) -> list[str]:
        """Why a gate could not be asked, each once."""
        found = list(self._problems)[self._told :]
        self._told = len(self._problems)
        return found

    def close(self) -> None:
        """Wait for requests to webhooks that are on their way; each takes a bounded time."""
        for question in self._questions.values():
            question.close(ANSWER_TIMEOUT_S)

    def _answer(
        self, each: GateState, state: ReleaseState, approvals: Mapping[str, Approval], now_s: float
    ) -> Answer | None:
        name = each.gate.name
        if name in approvals and not refusal(state.gates, name):
            return Answer("approved", approvals[name].who, approvals[name].why)
        if each.gate.by == "command" or each.answer == "expired":
            return None
        try:
            return self._asked(each, state, now_s)
        except (NoData, ClusterError) as problem:
            self._problems[f"Gate {name} has no answer: {problem}"] = None
            return None

    def _asked(self, each: GateState, state: ReleaseState, now_s: float) -> Answer | None:
        if each.gate.by == "file":
            return from_file(each.gate.file, state.started_s)
        if each.gate.by == "annotation":
            return self._annotated(each, state)
        return self._posted(each, state, now_s)

    def _annotated(self, each: GateState, state: ReleaseState) -> Answer | None:
        release, api = state.release, self._cluster.api
        if self._workload is None:
            found = workload_of(self._cluster, release, self._route, release.canary)
            if found is None:
                problem = f"which workload runs {release.canary} is not known."
                raise NoData(problem, remedy="Give its pods the labels of the version.")
            self._workload = Kind(found["apiVersion"], found["kind"]), found["metadata"]["name"]
        kind, name = self._workload
        workload = api.get(kind, name, release.namespace)
        if workload is None:
            self._workload = None
            return None
        return from_annotation(workload, annotation_of(each.gate), state.started_s)

    def _posted(self, each: GateState, state: ReleaseState, now_s: float) -> Answer | None:
        name, reference, release = each.gate.name, each.gate.webhook, state.release
        assert reference is not None
        question = self._questions.setdefault(name, Question(self._posting))
        answer = question.answer()
        if answer is None and not question.asked and now_s >= self._asked_s.get(name, 0.0) + ASK_S:
            self._asked_s[name] = now_s
            question.ask(address_of(reference, release.namespace, self._cluster), _question(each, state))
        return answer


def _question(each: GateState, state: ReleaseState) -> dict[str, Any]:
    """What a webhook is asked."""
    release = state.release
    return {
        "kind": GATE,
        "gate": each.gate.name,
        "release": release.name,
        "namespace": release.namespace,
        "service": release.service,
        "stable": release.stable,
        "canary": release.canary,
        "change": state.change_id,
        "percent": state.asked_percent,
        "next_percent": each.gate.before,
        "until_s": each.until_s,
    }
