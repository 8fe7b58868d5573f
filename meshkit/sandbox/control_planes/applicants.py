"""Whom a mesh's CA gives certificates to, and where it comes to know the CA and them from.

istiod, and Linkerd's identity of meshkit's own manifests, read the cluster. Linkerd's charts give theirs no
right to read anything: the CA and the roots are mounted, and a proxy that asks shows its pod's token, which
the API server is asked about. Here a proxy asks by the files in its pod's folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from meshkit.meshes.model.pods import Proxy, is_running, obeys, service_account
from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError, Mirror
from meshkit.sandbox.control_planes.authority import CaSecret, authority_in, mounted_authority
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.injector import trust_anchors
from meshkit.sandbox.dataplane.pod_directory import TOKEN_FILE, proxy_info_file

_LOG = logging.getLogger("identity")
_POLL_S = 0.2
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Applicant:
    """A pod that is to have a certificate. ``roots`` are those that its proxy was told to trust for good."""

    uid: str
    namespace: str
    account: str
    roots: str | None


class Source(Protocol):
    """The CA and the applicants as they are now; ``changed`` is set when they may be others."""

    changed: asyncio.Event

    async def run(self) -> None:
        """Follow them until cancelled."""

    def authority(self) -> Authority | None:
        """The CA, None where there is none."""

    def applicants(self) -> Iterable[Applicant]:
        """Who is to have a certificate."""


class InCluster:
    """Read from the API server: the Secret, the bundle, the meshed pods."""

    def __init__(self, api: ApiClient, proxy: Proxy, revision: str, namespace: str, secret: CaSecret) -> None:
        self._proxy, self._revision = proxy, revision
        self._namespace, self._secret = namespace, secret
        within = {"secrets": namespace, "configmaps": namespace}
        self._mirror = Mirror(api, ["pods", *within], within)
        self.changed = self._mirror.changed

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        await self._mirror.run()

    def authority(self) -> Authority | None:
        """The CA in the Secret."""
        return authority_in(
            self._secret,
            self._mirror.objects["secrets"].get(f"{self._namespace}/{self._secret.name}"),
            self._mirror.objects["configmaps"].get(f"{self._namespace}/{self._secret.bundle}"),
        )

    def applicants(self) -> list[Applicant]:
        """The pods with a sidecar of this mesh and revision."""
        return [
            Applicant(
                pod["metadata"]["uid"],
                pod["metadata"]["namespace"],
                service_account(pod),
                trust_anchors(pod, self._proxy),
            )
            for pod in self._mirror.objects["pods"].values()
            if obeys(pod, self._proxy, self._revision) and is_running(pod)
        ]


class InFolders:
    """Read from what is mounted, and from the folders of the pods on this machine."""

    def __init__(self, api: ApiClient, mesh: str, run_dir: Path, issuer: Path, roots: Path) -> None:
        self._api, self._mesh, self._run_dir = api, mesh, run_dir
        self._issuer, self._roots = issuer, roots
        self._accounts: dict[str, tuple[str, str]] = {}
        self._found: tuple[Authority | None, list[Applicant]] = (None, [])
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            found = (mounted_authority(self._issuer, self._roots), await self._look())
            if found != self._found:
                self._found = found
                self.changed.set()
            await asyncio.sleep(_POLL_S)

    def authority(self) -> Authority | None:
        """The CA in the mounted files."""
        return self._found[0]

    def applicants(self) -> list[Applicant]:
        """The pods whose proxy has introduced itself, and whose token is good."""
        return self._found[1]

    async def _look(self) -> list[Applicant]:
        found = []
        for folder in sorted(self._run_dir.iterdir()):
            told = _told(folder)
            if told is None or told["mesh"] != self._mesh:
                continue
            account = self._accounts.get(folder.name) or await self._account(folder)
            if account is not None:
                self._accounts[folder.name] = account
                found.append(Applicant(folder.name, *account, told["roots"] or None))
        for gone in set(self._accounts) - {each.uid for each in found}:
            del self._accounts[gone]
        return found

    async def _account(self, folder: Path) -> tuple[str, str] | None:
        """Namespace and name of the ServiceAccount that a pod's token is of."""
        try:
            token = (folder / TOKEN_FILE).read_text()
            asked = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
            answer = await self._api.create(
                "tokenreviews.authentication.k8s.io", {**asked, "spec": {"token": token}}
            )
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            _LOG.info("whose token is that of %s: %s", folder.name, problem)
            return None
        name = str(((answer.get("status") or {}).get("user") or {}).get("username") or "")
        if not name.startswith(_ACCOUNT):
            return None
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return namespace, account


def _told(folder: Path) -> dict[str, str] | None:
    try:
        told: dict[str, str] = json.loads(proxy_info_file(folder).read_text())
    except (OSError, ValueError):
        return None
    return told
