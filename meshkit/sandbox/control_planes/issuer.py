"""The identity role: gives every meshed pod its certificate and renews it at half life.

What stands on disk is believed: a new leader, or another replica of several that issue, does not re-issue
what is still good under the same roots. A new
CA in the Secret is taken up at once, if the trusted roots vouch for it; certificates that it has not signed
stay good until they are renewed. Istio's proxies trust the roots that istiod has now; Linkerd's those that
their pod was made with, so that a new root needs a restart of all pods.
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
    """Certificates for the pods of one mesh. ``run_dir`` holds one directory for each pod, named by uid;
    Events are about the ``deployment``.
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
        """Issue and renew until cancelled."""
        renewals: dict[str, dt.datetime] = {}
        source = self._source
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.run())
            while True:
                authority = await self._present(source.authority(), authority)
                wait_s = self._issue(authority, source.applicants(), renewals)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await source.changed.wait()
                source.changed.clear()

    async def _present(self, found: Authority | None, before: Authority) -> Authority:
        """The CA as it is held now; the one before while that is no good."""
        if found is None or found in (before, self._refused):
            return before
        problem = identity.flaw(found)
        if problem:
            self._refused = found
            await self._tell("IssuerValidationFailed", f"{self._secret.name}: {problem}.", warning=True)
            return before
        if found.certificate != before.certificate:
            by = x509.load_pem_x509_certificate(found.certificate.encode()).fingerprint(hashes.SHA256()).hex()
            # Each CA in its own words: the same words on the same object are an Event once only.
            await self._tell("IssuerUpdated", f"{self._secret.name}: certificates are signed by {by[:16]}.")
        return found

    async def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        _LOG.info("%s: %s", reason, message)
        name = self._deployment
        deployment = None
        with contextlib.suppress(ApiError):  # Linkerd's charts do not let their identity look
            deployment = await self._api.get("deployments.apps", name, self._namespace)
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        about = {**(deployment or {"metadata": {"name": name, "namespace": self._namespace}}), **kind}
        await self._api.record_event(about, reason, message, source=name, warning=warning)

    def _issue(
        self, authority: Authority, applicants: Iterable[Applicant], renewals: dict[str, dt.datetime]
    ) -> float:
        """Issue what is due; returns the seconds until something is again."""
        now = dt.datetime.now(dt.UTC)
        next_due = _LONGEST_WAIT_S
        present = list(applicants)
        for each in present:
            directory = pod_folder(self._run_dir, each.uid)
            if not (directory / "bootstrap.json").exists():
                next_due = _RETRY_S
                continue
            roots = each.roots or authority.roots
            if each.uid not in renewals or renewals[each.uid] <= now or not trusts(directory, roots):
                renewals[each.uid] = renewal_time(directory, roots) or now
            if renewals[each.uid] <= now:
                leaf = identity.workload_leaf(
                    authority, self._proxy, each.namespace, each.account, self._lifetime
                )
                identity.write_secrets(directory, leaf, roots)
                renewals[each.uid] = leaf.renew_after
            next_due = min(next_due, max(0.0, (renewals[each.uid] - now).total_seconds()))
        for gone in set(renewals) - {each.uid for each in present}:
            del renewals[gone]
        return next_due


def renewal_time(pod_dir: Path, roots: str) -> dt.datetime | None:
    """When a pod's certificate is to be renewed; None where it has none, or trusts other roots."""
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
    """Whether a pod's proxy was told to trust these roots."""
    _, root_path = secret_sources(pod_dir)
    try:
        trusted = json.loads(root_path.read_text())["resources"][0]["validation_context"]["trusted_ca"]
    except (OSError, ValueError, KeyError, IndexError):
        return False
    return bool(trusted["inline_string"] == roots)
