"""Serves a control plane's ports: probes, and webhooks with a certificate of the mesh's CA or a mounted one.

Charts create a new certificate with every upgrade, which also appears in the mounts of running pods. It takes
effect for new connections.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from meshkit.sandbox.api.http.connection_log import LOG
from meshkit.sandbox.api.http.idle import IdleConnections
from meshkit.sandbox.control_planes.identity import Authority

_LOG = logging.getLogger("webhook")
_POLL_S = 0.5


def issued(authority: Authority, names: Iterable[str]) -> ssl.SSLContext:
    """Return a TLS context with a new leaf of the CA."""
    leaf = authority.leaf(names=names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(prefix="meshkit-webhook-") as name:
        chain = Path(name) / "chain.pem"
        chain.touch(mode=0o600)
        chain.write_text(leaf.certificate + leaf.key)
        context.load_cert_chain(chain)
    return context


class MountedPair:
    """The certificate and key (``tls.crt`` and ``tls.key``) of a mounted Secret."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "tls.crt", folder / "tls.key")
        self._loaded: list[bytes] = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def load(self) -> None:
        """Load the files if they have changed; raise ``OSError`` if they do not match."""
        contents = [path.read_bytes() for path in self._files]
        if contents != self._loaded:
            self.context.load_cert_chain(*self._files)
            self._loaded = contents

    async def follow(self) -> None:
        """Reload the files whenever they change, until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                self.load()
            except OSError as problem:  # Only one file is new so far (ssl.SSLError is an OSError).
                _LOG.info("cannot load the serving certificate: %s", problem)


async def serve(
    application: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
) -> None:
    """Start to serve HTTPS, or HTTP without a context; return when the server listens.

    Connections on which no whole request comes are closed in time.
    """
    idle = IdleConnections()

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        with idle.answering(request):
            return await handler(request)

    async def swept(_: web.Application) -> AsyncIterator[None]:
        connections = idle.close_late(lambda: runner.server.connections if runner.server else ())
        sweeper = asyncio.ensure_future(connections)
        yield
        sweeper.cancel()

    application.middlewares.append(answered)
    application.cleanup_ctx.append(swept)
    runner = web.AppRunner(application, access_log=None, logger=LOG)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=context).start()
