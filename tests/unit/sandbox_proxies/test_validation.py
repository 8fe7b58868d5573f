"""Envoy's own reasons, without a running Envoy."""

from __future__ import annotations

import asyncio

import pytest
from mini_mesh import service
from test_istio_traffic import destination_rule, to, virtual_service

from meshkit.sandbox.proxies import istio, validation
from meshkit.sandbox.proxies.delivery import Desired
from meshkit.sandbox.proxies.inbound import Inbound
from meshkit.sandbox.proxies.istio_scope import Caller
from meshkit.sandbox.proxies.pods import Registry


def refusal(*http: dict[str, object]) -> str | None:
    objects = {
        "services": [service()],
        "destinationrules": [destination_rule()],
        "virtualservices": [virtual_service(*http)],
    }
    desired = Desired(istio.outbound(Registry(objects), Caller("shop")), (Inbound(8080, "strict"),))
    return asyncio.run(validation.refusal(desired, "istio"))


def test_a_good_configuration_is_taken() -> None:
    assert refusal({"route": [to("v1", 90), to("v2", 10)]}) is None


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ({"match": [{"uri": {"regex": "(("}}], "route": [to("v1")]}, "missing )"),
        ({"route": [to("v1", 0), to("v2", 0)]}, "weights"),
    ],
)
def test_a_refusal_names_its_reason(http: dict[str, object], reason: str) -> None:
    found = refusal(http)
    assert found is not None
    assert reason in found
    assert "candidate.json" not in found
