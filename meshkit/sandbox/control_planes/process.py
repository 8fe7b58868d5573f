"""One replica of a mesh's control plane: what its process does in each role.

Every replica with the injector role answers the webhook; configuration and identity are written by the
replica that holds the Lease. Where the charts of a mesh mount an issuer or a serving pair, these are used
instead. It reaches the cluster only through the API server, with its pod's token; the sidecars' files in the
run directory are the channel that real proxies have by xDS. Without any of these pods nothing new is written,
and what was written stays in force.
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
from meshkit.sandbox.control_planes.injector import Injection
from meshkit.sandbox.control_planes.issuer import Issuer
from meshkit.sandbox.control_planes.leader import Leader
from meshkit.sandbox.control_planes.webhook import InjectionWebhook

_LOG = logging.getLogger("controlplane")
ROLES = ("injector", "config", "identity")


@dataclass(frozen=True)
class Mounts:
    """Where the charts of a mesh mount what its programs read."""

    serving_pair: str
    issuer: str
    roots: str


@dataclass(frozen=True)
class Validators:
    """Webhooks that are asked about a mesh's own objects, each a role with a port."""

    ports: Mapping[str, int]
    application: Callable[[], web.Application]


@dataclass(frozen=True)
class Settings:
    """What differs between the meshes' control planes."""

    data_plane: DataPlane
    meaning: Meaning
    inject: Injection
    ready_ports: Mapping[str, int]
    """By the first role of the process."""
    webhook_port: int
    webhook_service: str
    workload_ca: tuple[CaSecret, ...]
    """Where the CA of workloads is kept: the first Secret there is, or the last one, which is made."""
    webhook_ca: tuple[CaSecret, ...]
    lifetime_variable: str
    """Environment variable with the lifetime of workload certificates, as the mesh names it."""
    leases: Mapping[str, str]
    """By the first role of the process, the Lease of its leader."""
    issuer_deployment: str
    """The Deployment that Events of the issuer are about."""
    config_source: str
    """Who reports the Events about objects that have no effect."""
    publish_roots: Callable[[ApiClient, str, CaSecret], Coroutine[Any, Any, None]] | None = None
    """Keeps the roots where a mesh's workloads read them, until cancelled."""
    mounts: Mounts | None = None
    validators: Validators | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a process may have."""
        return (*ROLES, *(self.validators.ports if self.validators else ()))

    def named(self, base: str, revision: str) -> str:
        """The name of what each revision has of its own."""
        return base if revision == DEFAULT_REVISION else f"{base}-{revision}"


class ControlPlane:
    """One replica."""

    def __init__(self, api: ApiClient, settings: Settings, roles: Sequence[str], env: dict[str, str]) -> None:
        self._api = api
        self._set = settings
        self._roles = roles
        self._revision = env.get("REVISION", DEFAULT_REVISION)
        self._ip = env["POD_IP"]
        self._pod = env["POD_NAME"]
        self._namespace = env["POD_NAMESPACE"]
        self._run_dir = Path(env["MESHKIT_RUN_DIR"])
        self._version = env["MESHKIT_IMAGE"].rpartition(":")[2]
        """Injected into pods is the control plane's own: the tag of its image."""
        mounts: dict[str, str] = json.loads(env["MESHKIT_MOUNTS"])
        self._mounts = {path: Path(folder) for path, folder in mounts.items()}
        lifetime_s = duration_s(env.get(self._set.lifetime_variable))
        self._lifetime = dt.timedelta(seconds=lifetime_s) if lifetime_s else LEAF_LIFETIME

    async def run(self) -> None:
        """Serve until cancelled."""
        mounted = self._set.mounts
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
            lease = self._set.named(self._set.leases[self._roles[0]], self._revision)
            leader = Leader(self._api, namespace=self._namespace, lease=lease, identity=self._pod)
            tasks.create_task(leader.lead(lambda: self._lead(webhook)))

    async def _issue_by_mounts(self, mounted: Mounts) -> None:
        """An issuer that has its CA and the roots mounted, and no right to read them."""
        issuer, roots = self._mounts[mounted.issuer], self._mounts[mounted.roots]
        ca = authority.mounted_authority(issuer, roots)
        if ca is None:
            raise ValueError(f"{mounted.issuer} and {mounted.roots} hold no issuer with its roots")
        source = InFolders(self._api, self._set.data_plane.proxy.mesh, self._run_dir, issuer, roots)
        await self._report_ready()
        await self._issuer(source, self._set.workload_ca[-1]).run(ca)

    async def _serve_mounted_pair(self, mounted: Mounts) -> None:
        """A webhook with a mounted certificate."""
        pair = serving.MountedPair(self._mounts[mounted.serving_pair])
        pair.load()
        validators = self._set.validators
        if validators and self._roles[0] in validators.ports:
            port = validators.ports[self._roles[0]]
            await serving.serve(validators.application(), pair.context, self._ip, port)
        else:
            await self._webhook().serve(pair.context, self._ip, self._set.webhook_port)
        await self._report_ready()
        await pair.follow()

    def _webhook(self) -> InjectionWebhook:
        mounted = self._set.mounts
        return InjectionWebhook(
            self._api,
            inject=self._set.inject,
            version=self._version,
            revision=self._revision,
            service=self._set.named(self._set.webhook_service, self._revision),
            namespace=self._namespace,
            bundle=self._set.workload_ca[-1].bundle,
            mounted_roots=self._mounts.get(mounted.roots) if mounted else None,
        )

    async def _serve(self, webhook: InjectionWebhook) -> None:
        """The webhook, once there is a CA; ready only then."""
        trusted = await authority.wait_for(self._api, self._namespace, *self._set.webhook_ca)
        await webhook.serve(webhook.issued(trusted), self._ip, self._set.webhook_port)
        await self._report_ready()

    async def _lead(self, webhook: InjectionWebhook | None) -> None:
        """The leader's work: the CAs, trust in the webhook, certificates, configuration."""
        async with asyncio.TaskGroup() as tasks:
            if "identity" in self._roles:
                tasks.create_task(self._issue())
            if webhook is not None:
                tasks.create_task(self._keep_trusted(webhook))
            if "config" in self._roles:
                configurator = Configurator(
                    self._api,
                    data_plane=self._set.data_plane,
                    revision=self._revision,
                    meaning=self._set.meaning,
                    event_source=self._set.config_source,
                    run_dir=self._run_dir,
                    namespace=self._namespace,
                )
                tasks.create_task(configurator.run())

    async def _issue(self) -> None:
        secret, ca = await self._made(self._set.workload_ca)
        source = InCluster(self._api, self._set.data_plane.proxy, self._revision, self._namespace, secret)
        issuer = self._issuer(source, secret)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(issuer.run(ca))
            if self._set.publish_roots:
                tasks.create_task(self._set.publish_roots(self._api, self._namespace, secret))

    def _issuer(self, source: Source, secret: CaSecret) -> Issuer:
        return Issuer(
            self._api,
            source,
            proxy=self._set.data_plane.proxy,
            deployment=self._set.named(self._set.issuer_deployment, self._revision),
            run_dir=self._run_dir,
            lifetime=self._lifetime,
            namespace=self._namespace,
            secret=secret,
        )

    async def _keep_trusted(self, webhook: InjectionWebhook) -> None:
        _, ca = await self._made(self._set.webhook_ca)
        await webhook.keep_trusted(ca)

    async def _made(self, secrets: tuple[CaSecret, ...]) -> tuple[CaSecret, Authority]:
        """The first Secret there is, and its CA; made in the last one where there is none."""
        for secret in secrets[:-1]:
            found = await authority.read(self._api, self._namespace, secret)
            if found:
                return secret, found
        await authority.ensure(self._api, self._namespace, secrets[-1])
        return secrets[-1], await authority.wait_for(self._api, self._namespace, secrets[-1])

    async def _report_ready(self) -> None:
        """Answer 200 on /ready, and on every other path a probe may ask for."""

        async def ok(request: web.Request) -> web.Response:
            del request
            return web.Response(text="ok\n")

        application = web.Application()
        application.router.add_get("/{path:.*}", ok)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        port = self._set.ready_ports[self._roles[0]]
        await web.TCPSite(runner, self._ip, port).start()
        _LOG.info("ready on %s:%s", self._ip, port)


async def _run(settings: Settings, roles: Sequence[str]) -> None:
    env = environment.child_environment()
    api = ApiClient(
        env["MESHKIT_API"], ca_file=Path(env["MESHKIT_CA"]), token_file=Path(env["MESHKIT_TOKEN_FILE"])
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
    parser.add_argument("--roles", required=True, help=f"comma list of {', '.join(settings.roles)}")
    roles = parser.parse_args().roles.split(",")
    if not set(roles) <= set(settings.roles):
        parser.error(f"--roles: known are {', '.join(settings.roles)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(settings, roles))
