"""The identity role: gives every meshed pod its certificate and renews it at half life.

What stands on disk is believed: a new leader does not re-issue what is still good under the same root.
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

from meshkit.sandbox.proxies import identity
from meshkit.sandbox.proxies.apiclient import ApiClient, Mirror
from meshkit.sandbox.proxies.identity import Authority
from meshkit.sandbox.proxies.model import Object
from meshkit.sandbox.proxies.poddir import secret_sources
from meshkit.sandbox.proxies.pods import is_running, mesh_of, service_account

_LOG = logging.getLogger("identity")
_RETRY_S = 0.05
_LONGEST_WAIT_S = 60.0


class Issuer:
    """Certificates for the pods of one mesh. ``run_dir`` holds one directory for each pod, named by uid."""

    def __init__(self, api: ApiClient, *, mesh: str, run_dir: Path, lifetime: dt.timedelta) -> None:
        self._api = api
        self._mesh = mesh
        self._run_dir = run_dir
        self._lifetime = lifetime

    async def run(self, authority: Authority) -> None:
        """Issue and renew until cancelled."""
        mirror = Mirror(self._api, ["pods"])
        renewals: dict[str, dt.datetime] = {}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run())
            while True:
                wait_s = self._issue(authority, mirror.objects["pods"].values(), renewals)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await mirror.changed.wait()
                mirror.changed.clear()

    def _issue(self, authority: Authority, pods: Iterable[Object], renewals: dict[str, dt.datetime]) -> float:
        """Issue what is due; returns the seconds until something is again."""
        now = dt.datetime.now(dt.UTC)
        next_due = _LONGEST_WAIT_S
        meshed = [pod for pod in pods if mesh_of(pod) == self._mesh and is_running(pod)]
        for pod in meshed:
            uid = pod["metadata"]["uid"]
            directory = self._run_dir / uid
            if not (directory / "bootstrap.json").exists():
                next_due = _RETRY_S
                continue
            if uid not in renewals:
                renewals[uid] = renewal_time(directory, authority.roots) or now
            if renewals[uid] <= now:
                account, namespace = service_account(pod), pod["metadata"]["namespace"]
                leaf = identity.workload_leaf(authority, self._mesh, namespace, account, self._lifetime)
                identity.write_secrets(directory, leaf, authority.roots)
                renewals[uid] = leaf.renew_after
            next_due = min(next_due, max(0.0, (renewals[uid] - now).total_seconds()))
        for gone in set(renewals) - {pod["metadata"]["uid"] for pod in meshed}:
            del renewals[gone]
        return next_due


def renewal_time(pod_dir: Path, roots: str) -> dt.datetime | None:
    """When a pod's certificate is to be renewed; None where it has none that ``roots`` vouch for."""
    certificate_path, root_path = secret_sources(pod_dir)
    try:
        trusted = json.loads(root_path.read_text())["resources"][0]["validation_context"]["trusted_ca"]
        pair = json.loads(certificate_path.read_text())["resources"][0]["tls_certificate"]
        leaf = x509.load_pem_x509_certificate(pair["certificate_chain"]["inline_string"].encode())
    except (OSError, ValueError, KeyError, IndexError):
        return None
    if trusted["inline_string"] != roots:
        return None
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return begin + (end - begin) / 2
