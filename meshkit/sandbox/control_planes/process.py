"""The process of one control plane replica, which runs the tasks of its roles.

Every replica with the injector role serves the webhook; only the replica that holds the Lease writes
configurations and certificates. If the charts of a mesh mount an issuer or a serving certificate, the
process uses these instead. It accesses the cluster only through the API server, with its pod's token. The
sidecars' files in the run directory replace the xDS channel of real proxies. When no replica runs, nothing
new is written and the existing files stay in effect.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from meshkit import settings as environment
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.meaning import Meaning
from meshkit.meshes.model.pods import DEFAULT_REVISION
from meshkit.sandbox.control_planes import authority, serving
from meshkit.sandbox.control_planes.api_client import ApiClient
from meshkit.sandbox.control_planes.applicants import InCluster, InFolders, Source
from meshkit.sandbox.control_planes.authority import CaSecret
from meshkit.sandbox.control_planes.configurator import Configurator
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.identity import LEAF_LIFETIME, Authority
from meshkit.sandbox.control_planes.injector import Annotation, Injection
from meshkit.sandbox.control_planes.issuer import Issuer
from meshkit.sandbox.control_planes.leader import Leader
from meshkit.sandbox.control_planes.webhook import InjectionWebhook, Warnings

_LOG = logging.getLogger("controlplane")
ROLES = ("injector", "config", "identity")


@dataclass(frozen=True)
class Mounts:
    """The paths at which the charts of a mesh mount certificates and their values."""

    serving_pair: str
    issuer: str
    roots: str
    values: str


@dataclass(frozen=True)
class Validators:
    """The validating webhooks for a mesh's own objects; each is a role with a port."""

    ports: Mapping[str, int]
    application: Callable[[ApiClient], web.Application]


@dataclass(frozen=True)
class Settings:
    """The settings that differ between the meshes' control planes."""

    data_plane: DataPlane
    meaning: Meaning
    inject: Injection
    annotate: Annotation | None
    """The annotations that the injector gives to Services; None for a mesh whose injector sees pods only."""
    ready_ports: Mapping[str, int]
    """The readiness port by the first role of the process."""
    webhook_port: int
    webhook_service: str
    workload_ca: tuple[CaSecret, ...]
    """Secrets with the CA of workloads: the first one that exists, or else the last one, which is created."""
    webhook_ca: tuple[CaSecret, ...]
    lifetime_variable: str
    """The mesh's environment variable for the lifetime of workload certificates."""
    leases: Mapping[str, str]
    """The leader's Lease by the first role of the process; ``{revision}`` stands for the revision."""
    issuer_deployment: str
    """The Deployment that the issuer's Events refer to."""
    config_source: str
    """The source component of Events about objects without effect."""
    publish_roots: Callable[[ApiClient, str, CaSecret], Coroutine[Any, Any, None]] | None = None
    """Publishes the roots where a mesh's workloads read them, until cancelled."""
    agent: str = ""
    """The program's name, which is the manager of the fields that it writes."""
    beside: Callable[[ApiClient, str, str, str], Coroutine[Any, Any, None]] | None = None
    """What the leader does besides, until cancelled; given its namespace, its pod and the revision."""
    mesh_config: str = ""
    """The ConfigMap with the mesh config."""
    mounts: Mounts | None = None
    validators: Validators | None = None
    warnings: Warnings | None = None
    """The warnings of the validating webhook that the injector's port serves too; None if it serves none."""

    @property
    def roles(self) -> tuple[str, ...]:
        """All roles that a process may have."""
        return (*ROLES, *(self.validators.ports if self.validators else ()))

    def named(self, base: str, revision: str) -> str:
        """Return the name of a revision's own instance of an object."""
        return base if revision == DEFAULT_REVISION else f"{base}-{revision}"


class ControlPlane:
    """One replica of a control plane."""

    def __init__(self, api: ApiClient, settings: Settings, roles: Sequence[str], env: dict[str, str]) -> None:
        self._api = api
        self._settings = settings
        self._roles = roles
        self._revision = env.get("REVISION", DEFAULT_REVISION)
        self._ip = env["POD_IP"]
        self._pod = env["POD_NAME"]
        self._namespace = env["POD_NAMESPACE"]
        self._run_dir = Path(env["MESHKIT_RUN_DIR"])
        self._version = env["MESHKIT_IMAGE"].rpartition(":")[2]
        """The proxy version to inject, which is the tag of the control plane's own image."""
        mounts: dict[str, str] = json.loads(env["MESHKIT_MOUNTS"])
        self._mounts = {path: Path(folder) for path, folder in mounts.items()}
        lifetime_s = duration_s(env.get(self._settings.lifetime_variable))
        self._lifetime = dt.timedelta(seconds=lifetime_s) if lifetime_s else LEAF_LIFETIME

    async def run(self) -> None:
        """Run the replica's roles until cancelled."""
        mounted = self._settings.mounts
        if mounted and mounted.issuer in self._mounts:
            await self._issue_by_mounts(mounted)
            return
        if mounted and mounted.serving_pair in self._mounts:
            await self._serve_mounted_pair(mounted)
            return
        webhook = None
        async with asyncio.TaskGroup() as tasks:
            if "injector" in self._roles:
                webhook = self._webhook()
                tasks.create_task(self._serve(webhook))
            else:
                await self._report_ready()
            lease = self._settings.leases[self._roles[0]].format(revision=self._revision)
            leader = Leader(self._api, namespace=self._namespace, lease=lease, identity=self._pod)
            tasks.create_task(leader.lead(lambda: self._lead(webhook)))

    async def _issue_by_mounts(self, mounted: Mounts) -> None:
        """Issue certificates with a mounted CA and roots, without permission to read the objects."""
        issuer, roots = self._mounts[mounted.issuer], self._mounts[mounted.roots]
        ca = authority.mounted_authority(issuer, roots)
        if ca is None:
            raise ValueError(f"{mounted.issuer} and {mounted.roots} do not contain an issuer and its roots")
        source = InFolders(self._api, self._settings.data_plane.proxy.mesh, self._run_dir, issuer, roots)
        await self._report_ready()
        await self._issuer(source, self._settings.workload_ca[-1]).run(ca)

    async def _serve_mounted_pair(self, mounted: Mounts) -> None:
        """Serve a webhook with a mounted certificate."""
        pair = serving.MountedPair(self._mounts[mounted.serving_pair])
        pair.load()
        validators = self._settings.validators
        if validators and self._roles[0] in validators.ports:
            port = validators.ports[self._roles[0]]
            await serving.serve(validators.application(self._api), self._ip, port, pair.context)
        else:
            await self._webhook().serve(pair.context, self._ip, self._settings.webhook_port)
        await self._report_ready()
        await pair.follow()

    def _webhook(self) -> InjectionWebhook:
        mounted = self._settings.mounts
        return InjectionWebhook(
            self._api,
            inject=self._settings.inject,
            version=self._version,
            revision=self._revision,
            service=self._settings.named(self._settings.webhook_service, self._revision),
            namespace=self._namespace,
            bundle=self._settings.workload_ca[-1].bundle,
            mesh_config=self._settings.named(self._settings.mesh_config, self._revision),
            annotate=self._settings.annotate,
            mounted_roots=self._mounts.get(mounted.roots) if mounted else None,
            mounted_values=self._mounts.get(mounted.values) if mounted else None,
            warnings=self._settings.warnings,
        )

    async def _serve(self, webhook: InjectionWebhook) -> None:
        """Wait for a CA, then serve the webhook and report readiness."""
        trusted = await authority.wait_for(self._api, self._namespace, *self._settings.webhook_ca)
        await webhook.serve(webhook.issued(trusted), self._ip, self._settings.webhook_port)
        await self._report_ready()

    async def _lead(self, webhook: InjectionWebhook | None) -> None:
        """Run the leader's tasks: CAs, the webhook's caBundle, certificates and configuration."""
        async with asyncio.TaskGroup() as tasks:
            if "identity" in self._roles:
                tasks.create_task(self._issue())
            if webhook is not None:
                tasks.create_task(self._keep_trusted(webhook))
            if self._settings.beside:
                beside = self._settings.beside(self._api, self._namespace, self._pod, self._revision)
                tasks.create_task(beside)
            if "config" in self._roles:
                tasks.create_task(self.configurator().run())

    def configurator(self) -> Configurator:
        """The configurator of this replica's revision."""
        return Configurator(
            self._api,
            data_plane=self._settings.data_plane,
            revision=self._revision,
            meaning=self._settings.meaning,
            event_source=self._settings.config_source,
            run_dir=self._run_dir,
            namespace=self._namespace,
            mesh_config=self._settings.named(self._settings.mesh_config, self._revision),
        )

    async def _issue(self) -> None:
        secret, ca = await self._find_or_create_ca(self._settings.workload_ca)
        source = InCluster(
            self._api, self._settings.data_plane.proxy, self._revision, self._namespace, secret
        )
        issuer = self._issuer(source, secret)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(issuer.run(ca))
            if self._settings.publish_roots:
                tasks.create_task(self._settings.publish_roots(self._api, self._namespace, secret))

    def _issuer(self, source: Source, secret: CaSecret) -> Issuer:
        return Issuer(
            self._api,
            source,
            proxy=self._settings.data_plane.proxy,
            deployment=self._settings.named(self._settings.issuer_deployment, self._revision),
            run_dir=self._run_dir,
            lifetime=self._lifetime,
            namespace=self._namespace,
            secret=secret,
        )

    async def _keep_trusted(self, webhook: InjectionWebhook) -> None:
        _, ca = await self._find_or_create_ca(self._settings.webhook_ca)
        await webhook.keep_trusted(ca)

    async def _find_or_create_ca(self, secrets: tuple[CaSecret, ...]) -> tuple[CaSecret, Authority]:
        """Return the first Secret that exists and its CA; create the last one if none exists."""
        for secret in secrets[:-1]:
            ca = await authority.read(self._api, self._namespace, secret)
            if ca:
                return secret, ca
        await authority.ensure(self._api, self._namespace, secrets[-1])
        return secrets[-1], await authority.wait_for(self._api, self._namespace, secrets[-1])

    async def _report_ready(self) -> None:
        """Answer 200 on every path of the readiness port."""

        async def ok(request: web.Request) -> web.Response:
            del request
            return web.Response(text="ok\n")

        application = web.Application()
        application.router.add_get("/{path:.*}", ok)
        port = self._settings.ready_ports[self._roles[0]]
        await serving.serve(application, self._ip, port)
        _LOG.info("ready on %s:%s", self._ip, port)


async def _run(settings: Settings, roles: Sequence[str]) -> None:
    env = environment.child_environment()
    api = ApiClient(
        env["MESHKIT_API"],
        ca_file=Path(env["MESHKIT_CA"]),
        token_file=Path(env["MESHKIT_TOKEN_FILE"]),
        agent=settings.agent,
    )
    work = asyncio.ensure_future(ControlPlane(api, settings, roles, env).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await api.close()


def main(settings: Settings) -> None:
    """Parse the command line and run the replica until SIGTERM."""
    parser = argparse.ArgumentParser(prog=f"meshkit.sandbox.control_planes.{settings.data_plane.proxy.mesh}")
    parser.add_argument("--roles", required=True, help=f"comma-separated list of {', '.join(settings.roles)}")
    roles = parser.parse_args().roles.split(",")
    if not set(roles) <= set(settings.roles):
        parser.error(f"--roles: the roles are {', '.join(settings.roles)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(settings, roles))
