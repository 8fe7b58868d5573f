"""Where one sandbox keeps its files. Names only: nothing is created or read here.

The folder is private (0700) because it holds the administrator's token and two private keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshkit import settings


@dataclass(frozen=True)
class SandboxHome:
    """The folder of one sandbox. Two folders are two sandboxes that never meet."""

    path: Path

    @classmethod
    def default(cls) -> SandboxHome:
        """``$MESHKIT_HOME/sandbox``, by default ``~/.meshkit/sandbox``."""
        return cls(settings.home() / "sandbox")

    @property
    def config(self) -> Path:
        """JSON: the API server's port and the second octet of the pods' addresses."""
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
        """Its private key, 0600."""
        return self.path / "ca.key"

    @property
    def server_certificate(self) -> Path:
        """What the API server shows (PEM)."""
        return self.path / "server.crt"

    @property
    def server_key(self) -> Path:
        """Its private key, 0600."""
        return self.path / "server.key"

    @property
    def token(self) -> Path:
        """The administrator's bearer token, 0600."""
        return self.path / "token"

    @property
    def signing_key(self) -> Path:
        """The key that signs the tokens of service accounts, 0600."""
        return self.path / "service-account.key"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig with the one context ``meshkit-sandbox``, 0600."""
        return self.path / "kubeconfig"

    @property
    def daemon(self) -> Path:
        """JSON: pid and start time of the running daemon."""
        return self.path / "daemon.json"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.path / "daemon.log"

    @property
    def run(self) -> Path:
        """One folder for each pod, by its uid."""
        return self.path / "run"
