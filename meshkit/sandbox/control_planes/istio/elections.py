"""Writes the ConfigMaps and the Lease by which istiod elects leaders, and renews them.

Of istiod's controllers, the ones for Ingress, for the ConfigMaps of namespaces and for addresses of
ServiceEntries elect their leader by an annotation on a ConfigMap, across all revisions; the ones for Gateways
by a Lease for each revision. Here no work depends on them, except on the Lease ``LEASE``. They matter because
they change all the time, as on any cluster with Istio, also while somebody uninstalls it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from typing import Any

import aiohttp

from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError
from meshkit.sandbox.control_planes.leader import Leader

_LOG = logging.getLogger("elections")
NAMES = ("istio-leader", "istio-namespace-controller-election", "istio-ip-autoallocate")
LEASE, STATUS_LEASE = "istio-gateway-deployment-{revision}", "istio-gateway-status-leader-{revision}"
"""The sandbox's istiod does all of its work as the leader by the first of these."""
LEADER = "control-plane.alpha.kubernetes.io/leader"
DURATION_S = 30
RENEW_S = DURATION_S / 4
_SECONDS = "%Y-%m-%dT%H:%M:%SZ"


async def hold(api: ApiClient, namespace: str, identity: str, revision: str) -> None:
    """Hold the elections that no other pod holds, until cancelled."""
    lease = STATUS_LEASE.format(revision=revision)
    status = Leader(api, namespace=namespace, lease=lease, identity=identity, duration_s=DURATION_S)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(status.lead(asyncio.Event().wait))
        tasks.create_task(_hold_config_maps(api, namespace, identity, revision))


async def _hold_config_maps(api: ApiClient, namespace: str, identity: str, revision: str) -> None:
    while True:
        for name in NAMES:
            try:
                await _renew(api, namespace, name, identity, revision)
            except (ApiError, aiohttp.ClientError, OSError) as problem:
                _LOG.info("cannot renew %s: %s", name, problem)
        await asyncio.sleep(RENEW_S)


async def _renew(api: ApiClient, namespace: str, name: str, identity: str, revision: str) -> None:
    found = await api.get("configmaps", name, namespace)
    now = dt.datetime.now(dt.UTC)
    record = _record(found)
    held = record.get("holderIdentity") not in (None, "", identity)
    if held and now < _expiry(record):
        return
    taken = record.get("holderIdentity") != identity
    transitions = record.get("leaderTransitions")
    stamp = now.strftime(_SECONDS)
    renewed = {
        "holderIdentity": identity,
        "holderKey": revision,
        "leaseDurationSeconds": DURATION_S,
        "acquireTime": stamp if taken else record.get("acquireTime", stamp),
        "renewTime": stamp,
        "leaderTransitions": (transitions if isinstance(transitions, int) else 0) + bool(taken and record),
    }
    meta = {**(found or {}).get("metadata", {}), "name": name, "namespace": namespace}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        LEADER: json.dumps(renewed, separators=(",", ":")),
    }
    item = {"apiVersion": "v1", "kind": "ConfigMap", **(found or {}), "metadata": meta}
    await (api.update("configmaps", item) if found else api.create("configmaps", item))


def _record(found: dict[str, Any] | None) -> dict[str, Any]:
    written = ((found or {}).get("metadata", {}).get("annotations") or {}).get(LEADER)
    try:
        record = json.loads(written) if written else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _expiry(record: dict[str, Any]) -> dt.datetime:
    try:
        renewed = dt.datetime.strptime(record["renewTime"], _SECONDS).replace(tzinfo=dt.UTC)
    except (KeyError, TypeError, ValueError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return renewed + dt.timedelta(seconds=DURATION_S)
