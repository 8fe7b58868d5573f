"""ResourceQuota and LimitRange: what a namespace takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshkit.sandbox.api.admission import quotas
from meshkit.sandbox.api.status import ApiError


async def quota(api: Any, name: str = "q", scopes: tuple[str, ...] = (), **hard: str) -> None:
    spec = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
    await api.client.create(
        "resourcequotas",
        {"metadata": {"name": name}, "spec": spec | ({"scopes": list(scopes)} if scopes else {})},
    )


async def limit_range(api: Any, **item: Any) -> None:
    limits = [{"type": "Container", **item}]
    await api.client.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})


def pod(name: str, requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    container = {"name": "c", "image": "web:1", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def used(api: Any, name: str = "q") -> dict[str, str]:
    quota = api.store.get(api.target("resourcequotas", name).key).object
    return {key: str(amount) for key, amount in quotas.used(api.store, quota).items()}


def test_a_count_is_a_count_even_for_writes_side_by_side(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, configmaps="2")
        outcomes = await asyncio.gather(
            *(api.client.create("configmaps", {"metadata": {"name": f"c{i}"}}) for i in range(4)),
            return_exceptions=True,
        )
        refusals = [each for each in outcomes if isinstance(each, ApiError)]
        assert [each.code for each in refusals] == [403, 403]
        assert refusals[0].message == (
            'configmaps "c2" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, '
            "limited: configmaps=2"
        )
        await api.client.delete("configmaps", "c0", "default")
        await api.client.create("configmaps", {"metadata": {"name": "again"}})

    asyncio.run(scenario())


def test_requests_and_limits_are_summed_exactly(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, cpu="1", limits_memory="1Gi")
        await api.client.create("pods", pod("a", {"cpu": "300m"}, {"memory": "512Mi"}))
        sidecar = {"name": "s", "image": "web:1", "restartPolicy": "Always"}
        sidecar["resources"] = {"requests": {"cpu": "0.2"}, "limits": {"memory": "256Mi"}}
        await api.client.create(
            "pods", pod("b", {"cpu": ".1"}, {"memory": "256Mi"}, initContainers=[sidecar])
        )
        assert used(api) == {"cpu": "600m", "limits.memory": "1Gi"}
        with pytest.raises(ApiError) as refused:
            await api.client.create("pods", pod("d", {"cpu": "500m"}, {"memory": "1Mi"}))
        assert refused.value.message == (
            'pods "d" is forbidden: exceeded quota: q, requested: cpu=500m,limits.memory=1Mi, '
            "used: cpu=600m,limits.memory=1Gi, limited: cpu=1,limits.memory=1Gi"
        )
        await api.client.update_status("pods", "a", "default", {"phase": "Succeeded"})
        await api.client.create("pods", pod("d", {"cpu": "500m"}, {"memory": "1Mi"}))

    asyncio.run(scenario())


def test_where_cpu_is_limited_every_container_must_name_its_share(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, requests_cpu="1", limits_memory="1Gi")
        with pytest.raises(
            ApiError, match=r"failed quota: q: must specify limits.memory for: c; requests.cpu"
        ):
            await api.client.create("pods", pod("a"))

    asyncio.run(scenario())


def test_scopes_choose_the_pods(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, scopes=("BestEffort",), pods="0")
        with pytest.raises(ApiError, match="exceeded quota"):
            await api.client.create("pods", pod("a"))
        await api.client.create("pods", pod("b", {"cpu": "1"}))

    asyncio.run(scenario())


def test_an_update_pays_only_what_it_adds(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, services_loadbalancers="0", services="1")
        service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
        await api.client.create("services", service)
        await api.client.merge_patch("services", "s", "default", {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(ApiError, match=r"requested: services.loadbalancers=1"):
            await api.client.merge_patch("services", "s", "default", {"spec": {"type": "LoadBalancer"}})
        assert used(api) == {"services.loadbalancers": "0", "services": "1"}

    asyncio.run(scenario())


def test_objects_of_custom_resources_are_counted_by_name(api: Any) -> None:
    async def scenario() -> None:
        await api.define_widgets()
        spec = {"hard": {"count/widgets.example.com": "0"}}
        await api.client.create("resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
        with pytest.raises(ApiError, match=r"limited: count/widgets.example.com=0"):
            await api.client.create("widgets.example.com", {"metadata": {"name": "w"}, "spec": {"size": 1}})

    asyncio.run(scenario())


def test_a_limit_range_fills_in_and_says_so(api: Any) -> None:
    async def scenario() -> None:
        await limit_range(api, max={"cpu": "2"}, defaultRequest={"memory": "64Mi"}, min={"cpu": "100m"})
        made = await api.client.create("pods", pod("a"))
        resources = made["spec"]["containers"][0]["resources"]
        assert resources == {"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"cpu": "2"}}
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c"
        )

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("item", "requests", "limits", "why"),
    [
        (
            {"min": {"cpu": "1"}},
            {"cpu": "500m"},
            None,
            "minimum cpu usage per Container is 1, but request is 500m",
        ),
        (
            {"max": {"memory": "1Gi"}},
            None,
            {"memory": "2Gi"},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {"cpu": "3"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"type": "Pod", "max": {"cpu": "1"}},
            None,
            {"cpu": "2"},
            "maximum cpu usage per Pod is 1, but limit is 2",
        ),
    ],
)
def test_bounds_of_a_limit_range(api: Any, item: Any, requests: Any, limits: Any, why: str) -> None:
    async def scenario() -> None:
        await limit_range(api, **item)
        with pytest.raises(ApiError) as refused:
            await api.client.create("pods", pod("a", requests, limits))
        assert (refused.value.code, refused.value.message) == (403, f'pods "a" is forbidden: {why}')

    asyncio.run(scenario())


def test_quantities_that_cannot_be_read_or_contradict_each_other_are_named(api: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(
            ApiError, match=r"resources.limits\[cpu\]: Invalid value: \"much\": quantities must"
        ):
            await api.client.create("pods", pod("a", None, {"cpu": "much"}))
        with pytest.raises(ApiError, match="must be less than or equal to cpu limit of 1"):
            await api.client.create("pods", pod("a", {"cpu": "1100m"}, {"cpu": "1"}))
        with pytest.raises(ApiError, match=r"spec.hard\[pods\]"):
            await quota(api, pods="some")

    asyncio.run(scenario())


def test_what_a_pod_asks_for_as_a_whole_takes_the_place_of_its_containers(api: Any) -> None:
    async def scenario() -> None:
        await quota(api, cpu="1", limits_cpu="2", limits_memory="1Gi", pods="9")
        whole = {"requests": {"cpu": "400m"}, "limits": {"cpu": "1", "memory": "512Mi"}}
        await api.client.create("pods", pod("a", {"cpu": "100m"}, resources=whole))
        assert used(api) == {"cpu": "400m", "limits.cpu": "1", "limits.memory": "512Mi", "pods": "1"}
        with pytest.raises(ApiError, match="exceeded quota: q, requested: cpu=700m, used: cpu=400m"):
            await api.client.create("pods", pod("b", resources={**whole, "requests": {"cpu": "700m"}}))
        with pytest.raises(ApiError, match=r"must specify limits\.memory for: c$"):
            await api.client.create(
                "pods", pod("b", {"cpu": "1m"}, {"cpu": "1m"}, resources={"limits": {"cpu": "1"}})
            )

    asyncio.run(scenario())


def test_a_pods_own_limits_are_its_requests_but_where_its_containers_ask(api: Any) -> None:
    async def scenario() -> None:
        whole = {"limits": {"cpu": "1", "memory": "512Mi"}}
        made = await api.client.create("pods", pod("a", {"cpu": "100m"}, resources=whole))
        assert made["spec"]["resources"]["requests"] == {"cpu": "100m", "memory": "512Mi"}

    asyncio.run(scenario())
