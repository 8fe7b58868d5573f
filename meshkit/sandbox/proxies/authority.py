"""Where a mesh keeps its CA: the Secret, its keys, and who makes it.

The leader makes the Secret when there is none, as istiod does; replicas that do not lead wait for it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from meshkit.sandbox.proxies.apiclient import ApiClient, ApiError
from meshkit.sandbox.proxies.identity import Authority

_LOG = logging.getLogger("authority")
_POLL_S = 0.25


@dataclass(frozen=True)
class CaSecret:
    """A Secret with a CA:

    the keys of its certificate and private key, and the CA's name when it must be made.
    """

    name: str
    certificate: str
    key: str
    roots: str
    common_name: str
    type: str = "Opaque"


ISTIO_PLUGGED_IN = CaSecret("cacerts", "ca-cert.pem", "ca-key.pem", "root-cert.pem", "")
ISTIO_SELF_SIGNED = CaSecret(
    "istio-ca-secret", "ca-cert.pem", "ca-key.pem", "ca-cert.pem", "istio-ca", "istio.io/ca-root"
)
LINKERD_ISSUER = CaSecret(
    "linkerd-identity-issuer", "crt.pem", "key.pem", "crt.pem", "identity.linkerd.cluster.local"
)
LINKERD_WEBHOOK = CaSecret(
    *("linkerd-proxy-injector-k8s-tls", "tls.crt", "tls.key", "tls.crt"),
    *("linkerd-proxy-injector.linkerd.svc", "kubernetes.io/tls"),
)


async def ensure(api: ApiClient, namespace: str, secret: CaSecret) -> None:
    """Make the CA when it is not there."""
    if await read(api, namespace, secret) is not None:
        return
    made = Authority.create(secret.common_name)
    data = {secret.certificate: made.certificate, secret.key: made.key}
    item = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name, "namespace": namespace},
        "type": secret.type,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    try:
        await api.create("secrets", item)
    except ApiError as refusal:
        if refusal.status != 409:
            raise


async def read(api: ApiClient, namespace: str, secret: CaSecret) -> Authority | None:
    """The CA, or None while there is none."""
    found = await api.get("secrets", secret.name, namespace)
    data: Mapping[str, Any] = (found or {}).get("data") or {}
    if secret.certificate not in data or secret.key not in data:
        return None

    def text(key: str) -> str:
        return base64.b64decode(data[key]).decode()

    return Authority(text(secret.certificate), text(secret.key), text(secret.roots))


async def wait_for(api: ApiClient, namespace: str, *secrets: CaSecret) -> Authority:
    """The CA in the first of the Secrets that exists, as soon as one does."""
    said = ""
    while True:
        try:
            for secret in secrets:
                found = await read(api, namespace, secret)
                if found:
                    return found
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            if str(problem) != said:
                said = str(problem)
                _LOG.warning("cannot read the CA: %s", problem)
        await asyncio.sleep(_POLL_S)
