"""Eviction: a budget is an account from which each eviction takes one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshkit.sandbox.api.admission.eviction import Evictions
from meshkit.sandbox.api.requests import DeleteOptions
from meshkit.sandbox.api.status import ApiError

BUDGETS = "poddisruptionbudgets.policy"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
UNREADY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}


async def pod(api: Any, name: str, status: dict[str, Any] = READY) -> None:
    metadata = {"name": name, "labels": {"app": "web"}}
    spec = {"nodeName": "sandbox-a", "containers": [{"name": "c", "image": "web:1"}]}
    await api.client.create("pods", {"metadata": metadata, "spec": spec})
    await api.client.update_status("pods", name, "default", status)


async def budget(
    api: Any, allowed: int, *, name: str = "web", generation: int = 1, healthy: int = 2, **spec: Any
) -> None:
    selector = {"matchLabels": {"app": "web"}}
    spec = {"minAvailable": 2, "selector": selector, **spec}
    await api.client.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    status = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": 2,
        "expectedPods": 3,
    }
    await api.client.update_status(BUDGETS, name, "default", status)


async def evict(api: Any, name: str, **options: Any) -> None:
    await Evictions(api.writes).evict(api.target("pods", name), DeleteOptions(), api.options(**options))


async def deleted(api: Any, name: str) -> bool:
    found = await api.client.get("pods", name, "default")
    return found is None or "deletionTimestamp" in found["metadata"]


def test_without_a_budget_a_pod_is_deleted_and_says_why(api: Any) -> None:
    async def scenario() -> None:
        await pod(api, "a")
        await evict(api, "a")
        found = await api.client.get("pods", "a", "default")
        assert found is not None
        assert "deletionTimestamp" in found["metadata"]
        assert found["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"

    asyncio.run(scenario())


def test_each_eviction_takes_one_and_the_next_is_refused(api: Any) -> None:
    async def scenario() -> None:
        await budget(api, 1)
        await pod(api, "a")
        await pod(api, "b")
        outcomes = await asyncio.gather(evict(api, "a"), evict(api, "b"), return_exceptions=True)
        refusal = next(each for each in outcomes if each is not None)
        assert isinstance(refusal, ApiError)
        assert (refusal.code, refusal.reason) == (429, "TooManyRequests")
        assert refusal.message == "Cannot evict pod as it would violate the pod's disruption budget."
        why = "The disruption budget web needs 2 healthy pods and has 2 currently"
        assert refusal.details["causes"] == [{"reason": "DisruptionBudget", "message": why}]
        assert sorted([await deleted(api, "a"), await deleted(api, "b")]) == [False, True]
        left = await api.client.get(BUDGETS, "web", "default")
        assert left is not None
        assert left["status"]["disruptionsAllowed"] == 0
        assert len(left["status"]["disruptedPods"]) == 1

    asyncio.run(scenario())


def test_a_budget_not_yet_counted_asks_to_come_back(api: Any) -> None:
    async def scenario() -> None:
        await budget(api, 1, generation=0)
        await pod(api, "a")
        with pytest.raises(ApiError) as refused:
            await evict(api, "a")
        assert (refused.value.code, refused.value.details["retryAfterSeconds"]) == (429, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "healthy", "spec", "goes"),
    [
        ({"phase": "Pending"}, 2, {}, True),
        ({"phase": "Succeeded"}, 2, {}, True),
        (READY, 2, {}, False),
        (UNREADY, 2, {}, True),
        (UNREADY, 1, {}, False),
        (UNREADY, 1, {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, True),
    ],
)
def test_pods_that_do_not_serve_may_go_from_a_used_up_budget(
    api: Any, status: Any, healthy: int, spec: Any, goes: bool
) -> None:
    async def scenario() -> None:
        await budget(api, 0, healthy=healthy, **spec)
        await pod(api, "a", status)
        if not goes:
            with pytest.raises(ApiError):
                await evict(api, "a")
        else:
            await evict(api, "a")
        assert await deleted(api, "a") == goes

    asyncio.run(scenario())


def test_two_budgets_over_one_pod_are_refused(api: Any) -> None:
    async def scenario() -> None:
        await budget(api, 1)
        await budget(api, 1, name="other")
        await pod(api, "a")
        with pytest.raises(ApiError, match="more than one PodDisruptionBudget"):
            await evict(api, "a")

    asyncio.run(scenario())


def test_a_dry_run_takes_nothing(api: Any) -> None:
    async def scenario() -> None:
        await budget(api, 1)
        await pod(api, "a")
        await evict(api, "a", dry_run=True)
        assert not await deleted(api, "a")
        left = await api.client.get(BUDGETS, "web", "default")
        assert left is not None
        assert left["status"]["disruptionsAllowed"] == 1

    asyncio.run(scenario())
