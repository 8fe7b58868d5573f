"""The identity role on a cluster that changes: a new CA, new roots, and certificates that end soon."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from meshkit.sandbox import certificates
from meshkit.sandbox.control_planes import identity
from meshkit.sandbox.control_planes.applicants import InCluster
from meshkit.sandbox.control_planes.authority import CaSecret, authority_in
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.issuer import Issuer
from meshkit.sandbox.control_planes.istio.authorities import SELF_SIGNED as ISTIO_SELF_SIGNED
from meshkit.sandbox.control_planes.linkerd.authorities import ISSUER as LINKERD_ISSUER
from meshkit.sandbox.control_planes.registry import DATA_PLANES
from tests.unit.sandbox_dataplane.istio_objects import destination_rule
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop

OLD, NEW = Authority.create("old"), Authority.create("new")
BOTH = OLD.roots + NEW.roots


class OneNamespace:
    """An API server with pods, Secrets and ConfigMaps; ``put`` changes them, ``said`` are the Events."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"pods": {}, "secrets": {}, "configmaps": {}}
        self.said: list[tuple[str, str]] = []
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._version = 0

    def put(self, resource: str, name: str, **content: Any) -> None:
        self._version += 1
        meta = {"name": name, "namespace": "mesh", "uid": name, "resourceVersion": str(self._version)}
        self.objects[resource][name] = item = {"metadata": meta, **content}
        if resource in self._queues:
            self._queues[resource].put_nowait(item)

    def put_ca(self, authority: Authority) -> None:
        data = {"crt.pem": authority.certificate, "key.pem": authority.key}
        self.put("secrets", LINKERD_ISSUER.name, data=encoded(data))

    def put_roots(self, roots: str) -> None:
        self.put("configmaps", LINKERD_ISSUER.bundle, data={"ca-bundle.crt": roots})

    async def watch(
        self, resource: str, namespace: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        self._queues[resource] = asyncio.Queue()
        yield "LIST", list(self.objects[resource].values())
        while True:
            yield "MODIFIED", await self._queues[resource].get()

    async def get(self, resource: str, name: str, namespace: str) -> None:
        return None

    async def record_event(self, item: Any, reason: str, message: str, **kind: Any) -> None:
        self.said.append((reason, message))


def encoded(data: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def pod(trust: str | None = None) -> dict[str, Any]:
    sidecar: dict[str, Any] = {"name": "linkerd-proxy", "restartPolicy": "Always"}
    if trust:
        sidecar["env"] = [{"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": trust}]
    return {"spec": {"initContainers": [sidecar]}, "status": {"podIP": "127.9.9.9", "phase": "Running"}}


def issuer(api: Any, run_dir: Path, lifetime_s: float = 3600, mesh: str = "linkerd") -> Issuer:
    lifetime = dt.timedelta(seconds=lifetime_s)
    secret = {"linkerd": LINKERD_ISSUER, "istio": ISTIO_SELF_SIGNED}[mesh]
    return Issuer(
        api,
        InCluster(api, DATA_PLANES[mesh].proxy, "default", "mesh", secret),
        proxy=DATA_PLANES[mesh].proxy,
        deployment="issuer",
        run_dir=run_dir,
        lifetime=lifetime,
        namespace="mesh",
        secret=secret,
    )


def leaf_of(directory: Path) -> x509.Certificate:
    document = json.loads((directory / "sds-cert.json").read_text())
    chain = document["resources"][0]["tls_certificate"]["certificate_chain"]["inline_string"]
    return x509.load_pem_x509_certificate(chain.encode())


def signer(directory: Path) -> str:
    return leaf_of(directory).issuer.rfc4514_string().partition(",")[0]


def roots_of(directory: Path) -> str:
    document = json.loads((directory / "sds-root.json").read_text())
    return str(document["resources"][0]["validation_context"]["trusted_ca"]["inline_string"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.01)


def test_a_new_ca_is_taken_up_when_the_roots_vouch_for_it(tmp_path: Path) -> None:
    """And a pod trusts for good what it was made to trust, until it is made again."""

    async def body() -> None:
        api = OneNamespace()
        api.put_ca(OLD)
        api.put_roots(OLD.roots)
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "bootstrap.json").touch()
        api.put("pods", "first", **pod(OLD.roots))
        work = asyncio.create_task(issuer(api, tmp_path).run(OLD))
        await until(lambda: (tmp_path / "first" / "sds-cert.json").exists())
        assert signer(tmp_path / "first") == "CN=old"

        api.put_ca(NEW)
        await until(lambda: bool(api.said))
        assert api.said[0][0] == "IssuerValidationFailed"
        assert "no trusted root has signed" in api.said[0][1]

        api.put_roots(BOTH)
        await until(lambda: len(api.said) == 2)
        assert api.said[1][0] == "IssuerUpdated"
        api.put("pods", "second", **pod(BOTH))
        await until(lambda: (tmp_path / "second" / "sds-cert.json").exists())
        assert signer(tmp_path / "second") == "CN=new"
        assert roots_of(tmp_path / "second") == BOTH
        assert (signer(tmp_path / "first"), roots_of(tmp_path / "first")) == ("CN=old", OLD.roots)

        api.put_ca(OLD)
        await until(lambda: len(api.said) == 3)
        assert api.said[2][0] == "IssuerUpdated"
        assert api.said[2][1] != api.said[1][1], "the same words would be no second Event"
        work.cancel()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("secret", "data", "bundle", "roots"),
    [
        (LINKERD_ISSUER, {"crt.pem": "C", "key.pem": "K"}, None, "C"),
        (LINKERD_ISSUER, {"crt.pem": "C", "key.pem": "K"}, "B", "B"),
        (LINKERD_ISSUER, {"tls.crt": "C", "tls.key": "K", "ca.crt": "R"}, None, "R"),
        (LINKERD_ISSUER, {"tls.crt": "C", "tls.key": "K", "ca.crt": "R"}, "B", "B"),
        (ISTIO_SELF_SIGNED, {"ca-cert.pem": "C", "ca-key.pem": "K"}, None, "C"),
    ],
)
def test_forms_of_the_secret(secret: CaSecret, data: dict[str, str], bundle: str | None, roots: str) -> None:
    held = {"data": {"ca-bundle.crt": bundle}} if bundle else None
    assert authority_in(secret, {"data": encoded(data)}, held) == Authority("C", "K", roots)


def test_a_ca_with_a_flaw_is_told_apart() -> None:
    other = Authority(OLD.certificate, NEW.key, OLD.roots)
    assert identity.ca_problem(OLD) is None
    assert "does not match the certificate" in (identity.ca_problem(other) or "")
    assert "no trusted root" in (identity.ca_problem(Authority(OLD.certificate, OLD.key, NEW.roots)) or "")
    assert "cannot be read" in (identity.ca_problem(Authority("x", OLD.key, OLD.roots)) or "")
    name = x509.load_pem_x509_certificate(OLD.certificate.encode()).subject
    ended, key = certificates.self_signed(name, dt.timedelta(seconds=-1))
    pem = certificates.certificate_pem(ended)
    assert "expired" in (identity.ca_problem(Authority(pem, certificates.key_pem(key), pem)) or "")


def under_load(directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    """Every request of the time is answered with 200, each after a handshake of its own between proxies."""

    async def main() -> None:
        async with shop("istio", directory) as made:
            once = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
            made.objects["destinationrules"] = [destination_rule(**once)]
            await made.apply()
            seen: list[int] = []

            async def ask() -> None:
                while True:
                    try:
                        seen.append((await made.get("client"))[0])
                    except aiohttp.ClientError:
                        seen.append(0)

            asking = asyncio.create_task(ask())
            await body(made)
            asking.cancel()
            assert set(seen) == {200}

    asyncio.run(main())


def test_certificates_that_end_in_seconds_are_renewed_without_a_lost_request(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        api = OneNamespace()
        for item in mesh.objects["pods"]:
            item["metadata"]["resourceVersion"] = "1"
            (tmp_path / item["metadata"]["name"] / "sds-cert.json").unlink()
            api.objects["pods"][item["metadata"]["name"]] = item
        authority = mesh._authority
        work = asyncio.create_task(issuer(api, tmp_path, lifetime_s=6, mesh="istio").run(authority))
        served = set()
        for _ in range(40):
            await asyncio.sleep(0.2)
            served.add(leaf_of(tmp_path / "web-v1").serial_number)
        work.cancel()
        assert len(served) >= 2

    under_load(tmp_path, body)


def test_the_root_is_changed_without_a_lost_request(tmp_path: Path) -> None:
    """Both trusted everywhere, then certificates of the new one, then the old one no longer."""

    async def body(made: MiniMesh) -> None:
        old = made._authority
        both = old.roots + NEW.roots
        for authority, roots in ((old, both), (NEW, both), (NEW, NEW.roots)):
            for item in made.objects["pods"]:
                name, account = item["metadata"]["name"], item["spec"]["serviceAccountName"]
                leaf = identity.workload_leaf(authority, DATA_PLANES["istio"].proxy, "shop", account)
                identity.write_secrets(tmp_path / name, leaf, roots)
            await made.apply()
            await asyncio.sleep(0.3)

    under_load(tmp_path, body)
