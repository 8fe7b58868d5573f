"""Defines the paths of a sandbox's files, without creating or reading them.

The folder is private (0700) because it contains the administrator's token and private keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshkit import settings


@dataclass(frozen=True)
class SandboxHome:
    """The folder of one sandbox; different folders are independent sandboxes."""

    path: Path

    @classmethod
    def default(cls) -> SandboxHome:
        """Return the default folder, ``$MESHKIT_HOME/sandbox`` or ``~/.meshkit/sandbox``."""
        return cls(settings.home() / "sandbox")

    @property
    def config(self) -> Path:
        """The JSON file with the API server's port and the second octet of the pods' addresses."""
        return self.path / "config.json"

    @property
    def store(self) -> Path:
        """The SQLite database with every object."""
        return self.path / "store.db"

    @property
    def ca_certificate(self) -> Path:
        """The certificate authority that clients trust (PEM)."""
        return self.path / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The private key of the certificate authority, mode 0600."""
        return self.path / "ca.key"

    @property
    def server_certificate(self) -> Path:
        """The API server's serving certificate (PEM)."""
        return self.path / "server.crt"

    @property
    def server_key(self) -> Path:
        """The private key of the serving certificate, mode 0600."""
        return self.path / "server.key"

    @property
    def token(self) -> Path:
        """The administrator's bearer token, mode 0600."""
        return self.path / "token"

    @property
    def signing_key(self) -> Path:
        """The key that signs the tokens of service accounts, mode 0600."""
        return self.path / "service-account.key"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig with the single context ``meshkit-sandbox``, mode 0600."""
        return self.path / "kubeconfig"

    @property
    def daemon(self) -> Path:
        """The JSON record of the running daemon: its pid, start time, port and net."""
        return self.path / "daemon.json"

    @property
    def log(self) -> Path:
        """The daemon's log file."""
        return self.path / "daemon.log"

    @property
    def run(self) -> Path:
        """The folder with one subfolder per pod, named by uid."""
        return self.path / "run"
