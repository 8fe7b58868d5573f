"""Post JSON to an address that stands in a Secret; no message ever contains the address.

A request takes a bounded time and follows no redirect. Texts of the network's errors are replaced, because
some name the host.
"""

from __future__ import annotations

import base64
import binascii
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from meshkit.errors import NoData
from meshkit.facts import Kind

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.gates import SecretKey

ANSWER_TIMEOUT_S = 5.0
ANSWER_BYTES = 64 * 1024
SECRET = Kind("v1", "Secret")
Post = Callable[[str, Mapping[str, Any]], bytes]
"""Posts JSON to an address and returns the body of the answer; raises ``NoData`` if there is none."""


def address_of(reference: SecretKey, namespace: str, cluster: Cluster) -> str:
    """Read an address from its Secret.

    Raises ``NoData`` that names the Secret and never its contents, and ``ClusterError`` if the Secret cannot
    be read.
    """
    where = f"Secret {namespace}/{reference.name}"
    secret = cluster.api.get(SECRET, reference.name, namespace)
    if secret is None:
        raise NoData(f"{where} does not exist.", remedy=f"Create it, with the address as {reference.key}.")
    encoded = (secret.get("data") or {}).get(reference.key)
    if encoded is None:
        raise NoData(f"{where} has no key {reference.key}.", remedy="Correct the key, or add it.")
    try:
        address = base64.b64decode(encoded, validate=True).decode().strip()
        parts = urllib.parse.urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (binascii.Error, ValueError):
        usable = False
    if not usable:
        problem = f"{reference.key} of {where} is no address of a webhook."
        raise NoData(problem, remedy="Write it as https://HOST[:PORT]/PATH.")
    return address


def post(address: str, body: Mapping[str, Any]) -> bytes:
    """Post JSON and return the body of the answer; raise ``NoData`` if there is none with a status of 2xx."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "meshkit"}
    remedy = "Correct the address, or what answers there."
    try:
        request = urllib.request.Request(address, data=json.dumps(body).encode(), headers=headers)
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=ANSWER_TIMEOUT_S) as response:
            return bytes(response.read(ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise NoData(f"the webhook answered with status {error.code}.", remedy=remedy) from None
    except (OSError, HTTPException, ValueError) as error:
        raise NoData(f"the webhook did not answer: {_why(error)}.", remedy=remedy) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer with its status."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _why(error: BaseException) -> str:
    """The kind of a network error, in words that name no host."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"it took more than {ANSWER_TIMEOUT_S:g} s"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(cause, ssl.SSLError):
        return "TLS failed"
    if isinstance(cause, socket.gaierror):
        return "its host is not known"
    return "the connection broke" if isinstance(cause, OSError) else "its answer is no HTTP"
