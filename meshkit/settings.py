"""Where meshkit keeps its files. The only module that reads meshkit's environment variables."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def home() -> Path:
    """meshkit's own directory: ``$MESHKIT_HOME``, by default ``~/.meshkit``. Not created here."""
    given = os.environ.get("MESHKIT_HOME")
    return Path(given).expanduser() if given else Path.home() / ".meshkit"


def helm() -> str | None:
    """The Helm to run: ``$MESHKIT_HELM``, else the one on PATH, else None."""
    return os.environ.get("MESHKIT_HELM") or shutil.which("helm")
