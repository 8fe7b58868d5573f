"""HTTPS for webhooks: with a pair of the mesh's own CA, or with one that is mounted into the pod.

Charts make a new pair with every upgrade, and it comes into the pods that are there already: it is taken up
for the next connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from meshkit.sandbox.control_planes.identity import Authority

_LOG = logging.getLogger("webhook")
_POLL_S = 0.5


def issued(authority: Authority, names: Iterable[str]) -> ssl.SSLContext:
    """With a new leaf of the CA."""
    leaf = authority.leaf(names=names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(prefix="meshkit-webhook-") as name:
        chain = Path(name) / "chain.pem"
        chain.touch(mode=0o600)
        chain.write_text(leaf.certificate + leaf.key)
        context.load_cert_chain(chain)
    return context


class MountedPair:
    """``tls.crt`` and ``tls.key`` of a mounted Secret."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "tls.crt", folder / "tls.key")
        self._loaded: list[bytes] = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def load(self) -> None:
        """Take up what the files hold now. Raises ``OSError`` for what is no pair."""
        found = [path.read_bytes() for path in self._files]
        if found != self._loaded:
            self.context.load_cert_chain(*self._files)
            self._loaded = found

    async def follow(self) -> None:
        """Load again whenever the files change, until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                self.load()
            except OSError as problem:  # one file is new and the other not yet; ssl.SSLError is one
                _LOG.info("the serving certificate is not taken up: %s", problem)


async def serve(application: web.Application, context: ssl.SSLContext, host: str, port: int) -> None:
    """Serve HTTPS. Returns when it listens."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=context).start()
