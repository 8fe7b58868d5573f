"""The identity role: gives every meshed pod its certificate and renews it at half life.

What stands on disk is believed: a new leader does not re-issue what is still good under the same roots. A new
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

from meshkit.sandbox.proxies import identity
from meshkit.sandbox.proxies.apiclient import ApiClient, Mirror
from meshkit.sandbox.proxies.authority import CaSecret, authority_in
from meshkit.sandbox.proxies.identity import Authority
from meshkit.sandbox.proxies.injector import trust_anchors
from meshkit.sandbox.proxies.model import Object
from meshkit.sandbox.proxies.poddir import secret_sources
from meshkit.sandbox.proxies.pods import DEFAULT_REVISION, is_running, obeys, service_account

_LOG = logging.getLogger("identity")
_RETRY_S = 0.05
_LONGEST_WAIT_S = 60.0
_DEPLOYMENT = {"istio": "istiod", "linkerd": "linkerd-identity"}


class Issuer:
    """Certificates for the pods of one mesh. ``run_dir`` holds one directory for each pod, named by uid."""

    def __init__(
        self,
        api: ApiClient,
        *,
        mesh: str,
        revision: str,
        run_dir: Path,
        lifetime: dt.timedelta,
        namespace: str,
        secret: CaSecret,
    ) -> None:
        self._api = api
        self._mesh = mesh
        self._revision = revision
        self._run_dir = run_dir
        self._lifetime = lifetime
        self._namespace = namespace
        self._secret = secret
        self._refused: Authority | None = None

    async def run(self, authority: Authority) -> None:
        """Issue and renew until cancelled."""
        within = {"secrets": self._namespace, "configmaps": self._namespace}
        mirror = Mirror(self._api, ["pods", *within], within)
        renewals: dict[str, dt.datetime] = {}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run())
            while True:
                authority = await self._present(mirror, authority)
                wait_s = self._issue(authority, mirror.objects["pods"].values(), renewals)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await mirror.changed.wait()
                mirror.changed.clear()

    async def _present(self, mirror: Mirror, before: Authority) -> Authority:
        """The CA as the cluster holds it now; the one before while that is no good."""
        found = authority_in(
            self._secret,
            mirror.objects["secrets"].get(f"{self._namespace}/{self._secret.name}"),
            mirror.objects["configmaps"].get(f"{self._namespace}/{self._secret.bundle}"),
        )
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
        name = _DEPLOYMENT[self._mesh]
        if self._revision != DEFAULT_REVISION:
            name = f"{name}-{self._revision}"
        deployment = await self._api.get("deployments.apps", name, self._namespace)
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        about = {**(deployment or {"metadata": {"name": name, "namespace": self._namespace}}), **kind}
        await self._api.record_event(about, reason, message, source=name, warning=warning)

    def _issue(self, authority: Authority, pods: Iterable[Object], renewals: dict[str, dt.datetime]) -> float:
        """Issue what is due; returns the seconds until something is again."""
        now = dt.datetime.now(dt.UTC)
        next_due = _LONGEST_WAIT_S
        meshed = [pod for pod in pods if obeys(pod, self._mesh, self._revision) and is_running(pod)]
        for pod in meshed:
            uid = pod["metadata"]["uid"]
            directory = self._run_dir / uid
            if not (directory / "bootstrap.json").exists():
                next_due = _RETRY_S
                continue
            roots = trust_anchors(pod) or authority.roots
            if uid not in renewals or not trusts(directory, roots):
                renewals[uid] = renewal_time(directory, roots) or now
            if renewals[uid] <= now:
                account, namespace = service_account(pod), pod["metadata"]["namespace"]
                leaf = identity.workload_leaf(authority, self._mesh, namespace, account, self._lifetime)
                identity.write_secrets(directory, leaf, roots)
                renewals[uid] = leaf.renew_after
            next_due = min(next_due, max(0.0, (renewals[uid] - now).total_seconds()))
        for gone in set(renewals) - {pod["metadata"]["uid"] for pod in meshed}:
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
