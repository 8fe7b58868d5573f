"""The identity role issues a certificate to every meshed pod and renews it at half of its lifetime.

The issuer reuses certificates on disk: a new leader, or another issuing replica, does not replace a
certificate that is still valid under the same roots. A new CA in the Secret takes effect at once if a
trusted root has signed it; certificates of the previous CA stay valid until their renewal. Istio's proxies
trust istiod's current roots; Linkerd's proxies trust the roots from their pod's creation, so a new root
requires a restart of all pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshkit.meshes.model.pods import Proxy
from meshkit.sandbox.control_planes import identity
from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError
from meshkit.sandbox.control_planes.applicants import Applicant, Source
from meshkit.sandbox.control_planes.authority import CaSecret
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.dataplane.pod_directory import pod_folder, secret_sources

_LOG = logging.getLogger("identity")
_RETRY_S = 0.05
_LONGEST_WAIT_S = 60.0


class Issuer:
    """Issues the certificates for the pods of one mesh.

    ``run_dir`` contains one directory per pod, named by uid. Events refer to the ``deployment``.
    """

    def __init__(
        self,
        api: ApiClient,
        source: Source,
        *,
        proxy: Proxy,
        deployment: str,
        run_dir: Path,
        lifetime: dt.timedelta,
        namespace: str,
        secret: CaSecret,
    ) -> None:
        self._api = api
        self._source = source
        self._proxy = proxy
        self._deployment = deployment
        self._run_dir = run_dir
        self._lifetime = lifetime
        self._namespace = namespace
        self._secret = secret
        self._refused: Authority | None = None

    async def run(self, authority: Authority) -> None:
        """Issue and renew certificates until cancelled."""
        renewals: dict[str, dt.datetime] = {}
        source = self._source
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.run())
            while True:
                authority = await self._current_ca(source.authority(), authority)
                wait_s = self._issue(authority, source.applicants(), renewals)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await source.changed.wait()
                source.changed.clear()

    async def _current_ca(self, candidate: Authority | None, before: Authority) -> Authority:
        """Return the new CA if it is valid, or else the one before."""
        if candidate is None or candidate in (before, self._refused):
            return before
        problem = identity.ca_problem(candidate)
        if problem:
            self._refused = candidate
            await self._record_event(
                "IssuerValidationFailed", f"{self._secret.name}: {problem}.", warning=True
            )
            return before
        if candidate.certificate != before.certificate:
            fingerprint = (
                x509.load_pem_x509_certificate(candidate.certificate.encode())
                .fingerprint(hashes.SHA256())
                .hex()
            )
            # The fingerprint makes each message unique; identical Events are recorded only once.
            await self._record_event(
                "IssuerUpdated", f"{self._secret.name}: certificates are signed by {fingerprint[:16]}."
            )
        return candidate

    async def _record_event(self, reason: str, message: str, *, warning: bool = False) -> None:
        _LOG.info("%s: %s", reason, message)
        name = self._deployment
        deployment = None
        with contextlib.suppress(
            ApiError
        ):  # Linkerd's charts do not allow the identity component to read Deployments.
            deployment = await self._api.get("deployments.apps", name, self._namespace)
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        about = {**(deployment or {"metadata": {"name": name, "namespace": self._namespace}}), **kind}
        await self._api.record_event(about, reason, message, source=name, warning=warning)

    def _issue(
        self, authority: Authority, applicants: Iterable[Applicant], renewals: dict[str, dt.datetime]
    ) -> float:
        """Issue all due certificates; return the seconds until the next one is due."""
        now = dt.datetime.now(dt.UTC)
        next_due = _LONGEST_WAIT_S
        present = list(applicants)
        for applicant in present:
            directory = pod_folder(self._run_dir, applicant.uid)
            if not (directory / "bootstrap.json").exists():
                next_due = _RETRY_S
                continue
            roots = applicant.roots or authority.roots
            if (
                applicant.uid not in renewals
                or renewals[applicant.uid] <= now
                or not trusts(directory, roots)
            ):
                renewals[applicant.uid] = renewal_time(directory, roots) or now
            if renewals[applicant.uid] <= now:
                leaf = identity.workload_leaf(
                    authority, self._proxy, applicant.namespace, applicant.account, self._lifetime
                )
                identity.write_secrets(directory, leaf, roots)
                renewals[applicant.uid] = leaf.renew_after
            next_due = min(next_due, max(0.0, (renewals[applicant.uid] - now).total_seconds()))
        for uid in set(renewals) - {applicant.uid for applicant in present}:
            del renewals[uid]
        return next_due


def renewal_time(pod_dir: Path, roots: str) -> dt.datetime | None:
    """Return when to renew a pod's certificate; None if it has none or trusts other roots."""
    if not trusts(pod_dir, roots):
        return None
    certificate_path, _ = secret_sources(pod_dir)
    try:
        pair = json.loads(certificate_path.read_text())["resources"][0]["tls_certificate"]
        leaf = x509.load_pem_x509_certificate(pair["certificate_chain"]["inline_string"].encode())
    except (OSError, ValueError, KeyError, IndexError):
        return None
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return begin + (end - begin) / 2


def trusts(pod_dir: Path, roots: str) -> bool:
    """Return whether a pod's proxy is configured to trust these roots."""
    _, root_path = secret_sources(pod_dir)
    try:
        trusted = json.loads(root_path.read_text())["resources"][0]["validation_context"]["trusted_ca"]
    except (OSError, ValueError, KeyError, IndexError):
        return False
    return bool(trusted["inline_string"] == roots)
