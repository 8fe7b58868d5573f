"""Sources of a mesh's CA and of the pods that receive certificates from it.

istiod, and Linkerd's identity component in meshkit's own manifests, read both from the cluster. The identity
component of Linkerd's charts has no permission to read objects: the CA and the roots are mounted, and each
proxy presents its pod's token, which the issuer verifies with a TokenReview. In the sandbox a proxy makes
its request through the files in its pod's folder.
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
    """A pod that needs a certificate; ``roots`` are those that were fixed when its proxy was injected."""

    uid: str
    namespace: str
    account: str
    roots: str | None


class Source(Protocol):
    """Provides the current CA and applicants; ``changed`` is set when they may have changed."""

    changed: asyncio.Event

    async def run(self) -> None:
        """Watch for changes until cancelled."""

    def authority(self) -> Authority | None:
        """Return the CA, or None if there is none."""

    def applicants(self) -> Iterable[Applicant]:
        """Return the pods that need a certificate."""


class InCluster:
    """Reads the Secret, the trust bundle and the meshed pods from the API server."""

    def __init__(self, api: ApiClient, proxy: Proxy, revision: str, namespace: str, secret: CaSecret) -> None:
        self._proxy, self._revision = proxy, revision
        self._namespace, self._secret = namespace, secret
        named = {"configmaps": secret.bundle} if secret.bundle else {}
        within = dict.fromkeys(("secrets", *named), namespace)
        self._mirror = Mirror(api, ["pods", *within], within, named)
        self.changed = self._mirror.changed

    async def run(self) -> None:
        """Watch the API server until cancelled."""
        await self._mirror.run()

    def authority(self) -> Authority | None:
        """Return the CA in the Secret."""
        return authority_in(
            self._secret,
            self._mirror.objects["secrets"].get(f"{self._namespace}/{self._secret.name}"),
            self._mirror.objects.get("configmaps", {}).get(f"{self._namespace}/{self._secret.bundle}"),
        )

    def applicants(self) -> list[Applicant]:
        """Return the pods with a sidecar of this mesh and revision."""
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
    """Reads the CA from mounted files and the applicants from the pods' folders on this machine."""

    def __init__(self, api: ApiClient, mesh: str, run_dir: Path, issuer: Path, roots: Path) -> None:
        self._api, self._mesh, self._run_dir = api, mesh, run_dir
        self._issuer, self._roots = issuer, roots
        self._accounts: dict[str, tuple[str, str]] = {}
        self._current: tuple[Authority | None, list[Applicant]] = (None, [])
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Poll for changes until cancelled."""
        while True:
            current = (mounted_authority(self._issuer, self._roots), await self._find_applicants())
            if current != self._current:
                self._current = current
                self.changed.set()
            await asyncio.sleep(_POLL_S)

    def authority(self) -> Authority | None:
        """Return the CA in the mounted files."""
        return self._current[0]

    def applicants(self) -> list[Applicant]:
        """Return the pods that have a proxy info file and a valid token."""
        return self._current[1]

    async def _find_applicants(self) -> list[Applicant]:
        applicants = []
        for folder in sorted(self._run_dir.iterdir()):
            info = _read_proxy_info(folder)
            if info is None or info["mesh"] != self._mesh:
                continue
            account = self._accounts.get(folder.name) or await self._account(folder)
            if account is not None:
                self._accounts[folder.name] = account
                applicants.append(Applicant(folder.name, *account, info["roots"] or None))
        for uid in set(self._accounts) - {applicant.uid for applicant in applicants}:
            del self._accounts[uid]
        return applicants

    async def _account(self, folder: Path) -> tuple[str, str] | None:
        """Return the namespace and name of the ServiceAccount that a pod's token belongs to."""
        try:
            token = (folder / TOKEN_FILE).read_text()
            asked = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
            answer = await self._api.create(
                "tokenreviews.authentication.k8s.io", {**asked, "spec": {"token": token}}
            )
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            _LOG.info("cannot review the token of pod %s: %s", folder.name, problem)
            return None
        name = str(((answer.get("status") or {}).get("user") or {}).get("username") or "")
        if not name.startswith(_ACCOUNT):
            return None
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return namespace, account


def _read_proxy_info(folder: Path) -> dict[str, str] | None:
    try:
        info: dict[str, str] = json.loads(proxy_info_file(folder).read_text())
    except (OSError, ValueError):
        return None
    return info
