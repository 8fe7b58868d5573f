"""Start and stop the API server of one sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from meshkit.sandbox.api import bootstrap
from meshkit.sandbox.api.admission.webhooks import Webhooks
from meshkit.sandbox.api.auth import credentials
from meshkit.sandbox.api.auth.rights import Rights
from meshkit.sandbox.api.auth.users import Tokens
from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.http.connection_log import LOG
from meshkit.sandbox.api.http.expectations import answer_expectation
from meshkit.sandbox.api.http.idle import IdleConnections
from meshkit.sandbox.api.http.pod_streams import NodeHooks, Pods
from meshkit.sandbox.api.http.server import HttpApi
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.storage.reads import Reads
from meshkit.sandbox.api.storage.store import Key, Store
from meshkit.sandbox.api.storage.writes import Writes
from meshkit.sandbox.home import SandboxHome

__all__ = ["ApiServer", "NodeHooks", "serve"]

_EVENT_LIFETIME = timedelta(hours=1)  # kube-apiserver --event-ttl


class ApiServer:
    """Represent a running API server; code in the same process reaches it through ``client``."""

    def __init__(
        self,
        store: Store,
        webhooks: Webhooks,
        runner: web.AppRunner,
        client: LocalClient,
        idle: IdleConnections,
    ) -> None:
        self.client = client
        self._store = store
        self._webhooks = webhooks
        self._runner = runner
        self._sweepers = asyncio.gather(
            self._delete_expired_events(),
            idle.close_late(lambda: runner.server.connections if runner.server else ()),
        )

    @property
    def port(self) -> int:
        """Return the TCP port that the server listens on."""
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        """Stop accepting requests, end every watch, close all connections and the store."""
        self._sweepers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweepers
        self._store.end_watches()
        connections = self._runner.server.connections if self._runner.server else []
        transports = [connection.transport for connection in connections]
        await self._runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()  # a client that does not answer the end of TLS would keep it open
        await self._webhooks.close()
        self._store.close()

    async def _delete_expired_events(self) -> None:
        while True:
            cutoff = (datetime.now(UTC) - _EVENT_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
            for stored in self._store.objects("events"):
                if (
                    stored.object.get("lastTimestamp") or stored.object["metadata"]["creationTimestamp"]
                ) < cutoff:
                    self._store.delete(stored.key, stored.rv)
            await asyncio.sleep(60)


async def serve(home: SandboxHome, port: int, node: NodeHooks, *, host: str = "127.0.0.1") -> ApiServer:
    """Start the API server of a sandbox home and write its kubeconfig.

    Port 0 selects a free port; the kubeconfig names the port in use.

    Raises SandboxError when the store cannot be read, and OSError when the port is in use.
    """
    secrets = credentials.ensure(home)
    store = Store(home.store)
    webhooks = Webhooks(store)
    writes = Writes(store, Registry(), webhooks)
    tokens = Tokens(secrets.admin_token, secrets.signing_key, _uid_of(store))
    client = LocalClient(writes, tokens)
    await bootstrap.create_objects(client, home.ca_certificate.read_text())
    api = HttpApi(writes, Reads(store), Rights(store), tokens, Pods(node))
    app = web.Application(client_max_size=bodies.MAX_BYTES)
    app.router.add_route("*", "/{path:.*}", api.handle, expect_handler=answer_expectation)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=LOG,
        handler_cancellation=True,
        shutdown_timeout=1.0,
        # kube-apiserver does not decompress request bodies either: a small one could expand to gigabytes.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        # Bind and listen here: asyncio's own server reports too late that another process holds the port.
        listener = socket.create_server((host, port))
        await web.SockSite(runner, listener, ssl_context=_tls(home)).start()
    except OSError:
        await runner.cleanup()
        store.close()
        raise
    server = ApiServer(store, webhooks, runner, client, api.idle)
    await bootstrap.publish_address(client, host, server.port)
    credentials.write_kubeconfig(home, server.port)
    return server


def _tls(home: SandboxHome) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(home.server_certificate, home.server_key)
    return context


def _uid_of(store: Store) -> Callable[[str, str, str], str | None]:
    def uid(resource: str, namespace: str, name: str) -> str | None:
        stored = store.get(Key(resource, namespace, name))
        return stored.object["metadata"]["uid"] if stored else None

    return uid
