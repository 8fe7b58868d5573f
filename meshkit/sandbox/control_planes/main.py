"""The process that istiod's and Linkerd's control-plane pods run:

``--mesh istio --roles injector,config,identity``.

Every replica with the injector role answers the webhook; configuration and identity are written by the
replica that holds the Lease. What Linkerd's charts mount is used as Linkerd uses it: the webhooks serve the
mounted pair, and every replica of the identity issues, as their roles let neither write nor elect. It reaches
the cluster only through the API server, with its pod's token; the
sidecars' files in the run directory are the channel that real proxies have by xDS. Without any of these pods
nothing new is written, and what was written stays in force.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from meshkit import settings
from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.pods import DEFAULT_REVISION, ISTIO
from meshkit.sandbox.control_planes import authority, serving, validator
from meshkit.sandbox.control_planes import root_certificate as rootcert
from meshkit.sandbox.control_planes.api_client import ApiClient
from meshkit.sandbox.control_planes.applicants import InCluster, InFolders, Source
from meshkit.sandbox.control_planes.authority import CaSecret
from meshkit.sandbox.control_planes.configurator import Configurator
from meshkit.sandbox.control_planes.identity import LEAF_LIFETIME, Authority
from meshkit.sandbox.control_planes.issuer import Issuer
from meshkit.sandbox.control_planes.leader import Leader
from meshkit.sandbox.control_planes.webhook import InjectionWebhook

_LOG = logging.getLogger("controlplane")
TRANSLATORS = {"istio": istio, "linkerd": linkerd}
VALIDATORS = {"profile-validator": 8443, "policy-validator": 9443}
"""Webhooks that are asked about Linkerd's own objects, and their ports."""
ROLES = ("injector", "config", "identity", *VALIDATORS)
SERVING_PAIR = "/var/run/linkerd/tls"
ISSUER = "/var/run/linkerd/identity/issuer"
ROOTS = "/var/run/linkerd/identity/trust-roots"
"""Where Linkerd's charts mount what its programs read."""


@dataclass(frozen=True)
class Settings:
    """What differs between the meshes' control planes."""

    ready_ports: Mapping[str, int]
    """By the first role of the process."""
    webhook_port: int
    webhook_service: str
    workload_ca: tuple[CaSecret, ...]
    webhook_ca: tuple[CaSecret, ...]
    lifetime_variable: str
    """Environment variable with the lifetime of workload certificates, as the mesh names it."""

    def lease(self, mesh: str, role: str, revision: str) -> str:
        """Each revision of Istio elects one leader for all; Linkerd's components each their own."""
        if mesh == "istio":
            return _named("istio-leader", revision)
        return {"config": "linkerd-destination", "identity": "linkerd-identity"}.get(
            role, "linkerd-proxy-injector"
        )


SETTINGS = {
    "istio": Settings(
        ready_ports={"injector": 8080},
        webhook_port=15017,
        webhook_service="istiod",
        workload_ca=(authority.ISTIO_PLUGGED_IN, authority.ISTIO_SELF_SIGNED),
        webhook_ca=(authority.ISTIO_PLUGGED_IN, authority.ISTIO_SELF_SIGNED),
        lifetime_variable="DEFAULT_WORKLOAD_CERT_TTL",
    ),
    "linkerd": Settings(
        ready_ports={
            "config": 9996,
            "identity": 9990,
            "injector": 9995,
            "profile-validator": 9997,
            "policy-validator": 9990,
        },
        webhook_port=8443,
        webhook_service="linkerd-proxy-injector",
        workload_ca=(authority.LINKERD_ISSUER,),
        webhook_ca=(authority.LINKERD_WEBHOOK,),
        lifetime_variable="LINKERD2_IDENTITY_ISSUANCE_LIFETIME",
    ),
}


def _named(base: str, revision: str) -> str:
    """The name of what each revision has of its own."""
    return base if revision == DEFAULT_REVISION else f"{base}-{revision}"


class ControlPlane:
    """One replica."""

    def __init__(self, api: ApiClient, mesh: str, roles: Sequence[str], env: dict[str, str]) -> None:
        self._api = api
        self._mesh = mesh
        self._roles = roles
        self._set = SETTINGS[mesh]
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
        if ISSUER in self._mounts:
            await self._issue_by_mounts()
            return
        if SERVING_PAIR in self._mounts:
            await self._serve_mounted_pair()
            return
        webhook = None
        async with asyncio.TaskGroup() as tasks:
            if "injector" in self._roles:
                webhook = self._webhook()
                tasks.create_task(self._serve(webhook))
            else:
                await self._report_ready()
            lease = self._set.lease(self._mesh, self._roles[0], self._revision)
            leader = Leader(self._api, namespace=self._namespace, lease=lease, identity=self._pod)
            tasks.create_task(leader.lead(lambda: self._lead(webhook)))

    async def _issue_by_mounts(self) -> None:
        """The identity of Linkerd's charts."""
        issuer, roots = self._mounts[ISSUER], self._mounts[ROOTS]
        ca = authority.mounted_authority(issuer, roots)
        if ca is None:
            raise ValueError(f"{ISSUER} and {ROOTS} hold no issuer with its roots")
        source = InFolders(self._api, self._mesh, self._run_dir, issuer, roots)
        await self._report_ready()
        await self._issuer(source, authority.LINKERD_ISSUER).run(ca)

    async def _serve_mounted_pair(self) -> None:
        """A webhook of Linkerd's charts."""
        pair = serving.MountedPair(self._mounts[SERVING_PAIR])
        pair.load()
        port = VALIDATORS.get(self._roles[0])
        if port is None:
            await self._webhook().serve(pair.context, self._ip, self._set.webhook_port)
        else:
            await serving.serve(validator.application(), pair.context, self._ip, port)
        await self._report_ready()
        await pair.follow()

    def _webhook(self) -> InjectionWebhook:
        return InjectionWebhook(
            self._api,
            mesh=self._mesh,
            version=self._version,
            revision=self._revision,
            service=_named(self._set.webhook_service, self._revision),
            namespace=self._namespace,
            mounted_roots=self._mounts.get(ROOTS),
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
                    mesh=self._mesh,
                    revision=self._revision,
                    translator=TRANSLATORS[self._mesh],
                    run_dir=self._run_dir,
                    namespace=self._namespace,
                )
                tasks.create_task(configurator.run())

    async def _issue(self) -> None:
        secret, ca = await self._made(self._set.workload_ca)
        source = InCluster(self._api, self._mesh, self._revision, self._namespace, secret)
        issuer = self._issuer(source, secret)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(issuer.run(ca))
            if self._mesh == ISTIO:
                tasks.create_task(rootcert.publish(self._api, self._namespace, secret))

    def _issuer(self, source: Source, secret: CaSecret) -> Issuer:
        return Issuer(
            self._api,
            source,
            mesh=self._mesh,
            revision=self._revision,
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


async def _main(mesh: str, roles: Sequence[str]) -> None:
    env = settings.child_environment()
    api = ApiClient(
        env["MESHKIT_API"], ca_file=Path(env["MESHKIT_CA"]), token_file=Path(env["MESHKIT_TOKEN_FILE"])
    )
    work = asyncio.ensure_future(ControlPlane(api, mesh, roles, env).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await api.close()


def main() -> None:
    """Parse the command line and run the replica until SIGTERM."""
    parser = argparse.ArgumentParser(prog="meshkit.sandbox.control_planes.main")
    parser.add_argument("--mesh", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--roles", required=True, help=f"comma list of {', '.join(ROLES)}")
    arguments = parser.parse_args()
    roles = arguments.roles.split(",")
    if not set(roles) <= set(ROLES):
        parser.error(f"--roles: known are {', '.join(ROLES)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_main(arguments.mesh, roles))


if __name__ == "__main__":
    main()
