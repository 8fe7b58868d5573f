"""The move of a route to Gateway API is refused before anything is planned where it cannot be made."""

from __future__ import annotations

import pytest

from meshkit.errors import BadInput, Conflict
from meshkit.operations.routes.convert import plan_convert
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects


def held(*managers: str) -> Api:
    """A shop whose VirtualService has fields of these managers."""
    there = objects("istio", WORKLOADS, ISTIO.replace("{prefix: /beta}", "{exact: /beta}"))
    fields = {"f:spec": {"f:http": {}}}
    for each in there:
        if each["kind"] == "VirtualService":
            owned = [{"manager": name, "fieldsV1": fields} for name in managers]
            each["metadata"] = {**each["metadata"], "managedFields": owned}
    return Api(there)


@pytest.mark.parametrize("name", ["web", "shop/", "/web"])
def test_a_route_is_named_by_namespace_and_name(name: str) -> None:
    with pytest.raises(BadInput, match="NAMESPACE/NAME"):
        plan_convert(name, cluster(held(), "istio"))


def test_a_mesh_without_another_api_has_nothing_to_convert() -> None:
    with pytest.raises(BadInput, match="Gateway API already"):
        plan_convert("shop/web", cluster(Api(objects("linkerd", WORKLOADS, LINKERD)), "linkerd"))


def test_what_somebody_else_manages_is_left_to_them() -> None:
    with pytest.raises(Conflict, match="argocd manages VirtualService shop/web") as refused:
        plan_convert("shop/web", cluster(held("argocd"), "istio"))
    assert "--take-fields" in refused.value.remedy


def test_the_weights_of_a_running_release_are_not_taken() -> None:
    with pytest.raises(Conflict, match="a release manages the weights"):
        plan_convert("shop/web", cluster(held("meshkit", "meshkit-release"), "istio"), take_fields=True)
