"""Certificates and keys that a kubeconfig holds inline: used for every connection, and left in no file."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.cluster.connect import connect
from meshkit.errors import BadInput, ClusterError
from meshkit.facts import Kind
from meshkit.sandbox.certificates import certificate_pem, issued, key_pem, self_signed

DAY = dt.timedelta(days=1)
ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


class Files:
    """An authority, and the certificates and keys that it issued to a server and to its client, as PEM."""

    def __init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        authority, key = self_signed(name, DAY)
        self.authority = certificate_pem(authority)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf, leaf_key = issued(authority, key, alternatives=[ADDRESS], purposes=both, lifetime=DAY)
        self.certificate, self.key = certificate_pem(leaf), key_pem(leaf_key)


class Answering(BaseHTTPRequestHandler):
    """Knows one kind, of which there is nothing; each request needs a connection of its own."""

    def do_GET(self) -> None:
        kinds = [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": ["list"]}]
        found = {"resources": kinds} if self.path == "/api/v1" else {"metadata": {}, "items": []}
        body = json.dumps({"kind": "List", "apiVersion": "v1", **found}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def port(files: Files, tmp_path: Path) -> Iterator[int]:
    """The port of a server that wants a certificate of the authority from its clients."""
    pem = tmp_path / "server.pem"
    pem.write_text(files.certificate + files.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=files.authority)
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def kubeconfig(folder: Path, port: int, authority: str, certificate: str, key: str) -> Path:
    def data(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    path = folder / "kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": data(authority)}
    user = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_key_in_a_kubeconfig_is_used_for_each_connection_and_stays_in_no_file(
    files: Files, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(tmp_path, port, files.authority, files.certificate, files.key)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for _ in range(2):
        cluster = connect(kubeconfig=path)
        assert list(folder.iterdir()) == []
        for _ in range(2):
            assert cluster.api.list(Kind("v1", "ConfigMap"), "default") == []


def test_a_server_of_another_authority_is_not_trusted(files: Files, port: int, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, port, Files().authority, files.certificate, files.key)
    with pytest.raises(ClusterError, match="certificate"):
        connect(kubeconfig=path).api.list(Kind("v1", "ConfigMap"), "default")


@pytest.mark.parametrize("part", ["authority", "certificate", "key", "another key"])
def test_what_is_no_certificate_or_no_key_is_refused_before_anything_is_sent(
    part: str, files: Files, tmp_path: Path
) -> None:
    given = {"authority": files.authority, "certificate": files.certificate, "key": files.key}
    given |= {"key": Files().key} if part == "another key" else {part: "no PEM"}
    with pytest.raises(BadInput, match="cannot be used"):
        connect(kubeconfig=kubeconfig(tmp_path, 1, **given))
