"""Reads and creates the Secret of a mesh's CA and the ConfigMap of its trusted roots.

The leader creates them if they do not exist, as istiod does; the other replicas wait for them.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from meshkit.meshes.model.outbound import Object
from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError
from meshkit.sandbox.control_planes.identity import Authority

_LOG = logging.getLogger("authority")
_POLL_S = 0.25
BUNDLE_KEY = "ca-bundle.crt"


@dataclass(frozen=True)
class CaSecret:
    """Describes the Secret of a CA: its name, its keys, and the common name for a new CA.

    ``or_keys`` are the alternative keys that cert-manager uses. ``bundle`` names a ConfigMap whose trusted
    roots take precedence over those in the Secret.
    """

    name: str
    certificate: str
    key: str
    roots: str
    common_name: str
    type: str = "Opaque"
    or_keys: tuple[str, str, str] | None = None
    bundle: str = ""
    unused: tuple[str, ...] = ()
    """Keys that a new Secret has besides, without content."""


async def ensure(api: ApiClient, namespace: str, secret: CaSecret) -> None:
    """Create the CA and the bundle of its roots if they do not exist."""
    ca = await read(api, namespace, secret)
    if ca is None:
        ca = Authority.create(secret.common_name)
        data = {secret.roots: ca.roots, secret.certificate: ca.certificate, secret.key: ca.key}
        data.update(dict.fromkeys(secret.unused, ""))
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        await _create(api, "secrets", "Secret", secret.name, namespace, type=secret.type, data=encoded)
    if secret.bundle and await api.get("configmaps", secret.bundle, namespace) is None:
        bundle = {BUNDLE_KEY: ca.roots}
        await _create(api, "configmaps", "ConfigMap", secret.bundle, namespace, data=bundle)


async def _create(
    api: ApiClient, resource: str, kind: str, name: str, namespace: str, **content: Any
) -> None:
    meta = {"name": name, "namespace": namespace}
    try:
        await api.create(resource, {"apiVersion": "v1", "kind": kind, "metadata": meta, **content})
    except ApiError as refusal:
        if refusal.status != 409:
            raise


async def read(api: ApiClient, namespace: str, secret: CaSecret) -> Authority | None:
    """Return the CA from the API server, or None if there is none."""
    item = await api.get("secrets", secret.name, namespace)
    bundle = await api.get("configmaps", secret.bundle, namespace) if secret.bundle else None
    return authority_in(secret, item, bundle)


def authority_in(secret: CaSecret, item: Object | None, bundle: Object | None) -> Authority | None:
    """Return the CA in a Secret and its bundle, or None."""
    data: Mapping[str, Any] = (item or {}).get("data") or {}
    for certificate, key, roots in filter(
        None, ((secret.certificate, secret.key, secret.roots), secret.or_keys)
    ):
        if certificate in data and key in data:
            trusted = ((bundle or {}).get("data") or {}).get(BUNDLE_KEY)
            return Authority(
                certificate=_text(data[certificate]),
                key=_text(data[key]),
                roots=trusted or _text(data.get(roots) or data[certificate]),
            )
    return None


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def mounted_authority(issuer: Path, bundle: Path) -> Authority | None:
    """Return the CA from a pod's mounts of the issuer's Secret and the ConfigMap of the roots."""
    try:
        roots = (bundle / BUNDLE_KEY).read_text()
    except OSError:
        return None
    for certificate, key in (("tls.crt", "tls.key"), ("crt.pem", "key.pem")):
        if (issuer / certificate).exists() and (issuer / key).exists():
            return Authority((issuer / certificate).read_text(), (issuer / key).read_text(), roots)
    return None


async def wait_for(api: ApiClient, namespace: str, *secrets: CaSecret) -> Authority:
    """Wait until one of the Secrets exists; return the CA in the first one."""
    last_error = ""
    while True:
        try:
            for secret in secrets:
                ca = await read(api, namespace, secret)
                if ca:
                    return ca
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            if str(problem) != last_error:
                last_error = str(problem)
                _LOG.warning("cannot read the CA: %s", problem)
        await asyncio.sleep(_POLL_S)
