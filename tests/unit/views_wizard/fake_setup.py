"""A setup whose cluster is one observation, and two observations."""

from __future__ import annotations

import threading
from typing import Any

from meshkit.cluster.diff import FieldChange
from meshkit.cluster.executor import Progress
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import ChangeFailed
from meshkit.facts import ClusterRef
from meshkit.intent.base import Intent
from meshkit.kube.steps import Step
from meshkit.operations.plan import Plan
from meshkit.operations.setup.guide import Setup, SetupSnapshot
from meshkit.operations.setup.stages import stage_statuses
from meshkit.operations.setup.status import ClusterObservation
from tests.unit.meshes.injected_objects import deployment, pod, webhook
from tests.unit.operations.observations import PLAIN, TLS, calls, meshed, sight


class Cluster:
    context, server, api = "meshkit-sandbox", "https://127.0.0.1:1", None
    ref = ClusterRef(context, server)


class FakeSetup(Setup):
    """A setup whose cluster is one observation; remembers what was asked for, and on which thread."""

    def __init__(self, seen: ClusterObservation) -> None:
        super().__init__(Cluster(), "istio", "shop")  # type: ignore[arg-type]
        object.__setattr__(self, "observation", seen)
        object.__setattr__(self, "done", [])
        object.__setattr__(self, "threads", set())
        object.__setattr__(self, "failures", [])
        object.__setattr__(self, "gate", threading.Event())
        self.gate.set()

    observation: ClusterObservation
    done: list[tuple[Any, ...]]
    threads: set[threading.Thread]
    failures: list[Exception]
    gate: threading.Event

    def look(self, before: SetupSnapshot | None = None) -> SetupSnapshot:
        self.threads.add(threading.current_thread())
        if self.failures:
            raise self.failures.pop()
        return SetupSnapshot(1_790_000_000.0, self.observation, stage_statuses(self.observation))

    def plan(self, name: str, *intents: Intent, look: SetupSnapshot | None = None) -> Plan:
        self.threads.add(threading.current_thread())
        obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        change = FieldChange("metadata.labels.a", None, "b")
        steps = (PlannedStep(Step(obj), "change", (change,)),)
        self.done.append(("plan", name, intents))
        return Plan("Test", "istio", "sandbox", "https://127.0.0.1:1", steps)

    def apply(self, name: str, plan: Plan, **how: Any) -> Any:
        how["progress"](Progress("Namespace shop", 1, 1, "applying"))
        self.gate.wait(60)
        how["progress"](Progress("Namespace shop", 1, 1, "applying"))
        self.done.append(("apply", name, how["force"], threading.current_thread().name))
        return "Injection: 1 step done, change 7."

    def undoable(self, name: str) -> str:
        self.threads.add(threading.current_thread())
        return "20261123-1" if name == "injection" else ""

    def undo(self, name: str, **how: Any) -> Any:
        self.done.append(("undo", name))
        raise ChangeFailed("argocd owns it.", remedy="Ask them.", change_id="7", undone=False)


BARE = sight("istio", webhook("istio"), deployment(), pod(1))


PLAINTEXT = sight("istio", *meshed("istio"), seen=calls({TLS: 500, PLAIN: 8}))
