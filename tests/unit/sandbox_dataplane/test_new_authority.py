"""The Secret of a new CA has the keys that istiod gives it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from meshkit.sandbox.control_planes.authority import authority_in, ensure
from meshkit.sandbox.control_planes.istio.authorities import SELF_SIGNED


class Api:
    """Objects in memory."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    async def get(self, resource: str, name: str, namespace: str) -> dict[str, Any] | None:
        return self.found.get(name)

    async def create(self, resource: str, item: dict[str, Any]) -> None:
        self.found[item["metadata"]["name"]] = item


def test_the_secret_of_a_new_ca_has_istiods_keys_and_its_certificate_is_the_root() -> None:
    api: Any = Api()
    asyncio.run(ensure(api, "istio-system", SELF_SIGNED))
    (made,) = api.found.values()
    assert made["type"] == "istio.io/ca-root"
    data = {key: base64.b64decode(value).decode() for key, value in made["data"].items()}
    assert set(data) == {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "key.pem", "root-cert.pem"}
    assert (data["cert-chain.pem"], data["key.pem"]) == ("", "")
    ca = authority_in(SELF_SIGNED, made, None)
    assert ca is not None
    assert ca.roots == ca.certificate == data["root-cert.pem"]
