"""The program of the image ``meshkit``: the command line of the installed package.

A container finds its account's token and its volumes below fixed paths. Processes of the sandbox share the
machine's file system, so the paths are replaced by those of the pod's folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from kubernetes.config import incluster_config

from meshkit.cli import main
from meshkit.cluster import connect


def run(words: list[str]) -> None:
    """Run a command line as the account of this pod."""
    server = urlsplit(os.environ["MESHKIT_API"])
    os.environ["KUBERNETES_SERVICE_HOST"] = str(server.hostname)
    os.environ["KUBERNETES_SERVICE_PORT"] = str(server.port)
    token = os.environ["MESHKIT_TOKEN_FILE"]
    incluster_config.SERVICE_TOKEN_FILENAME = token
    incluster_config.SERVICE_CERT_FILENAME = os.environ["MESHKIT_CA"]
    connect._POD_TOKEN = Path(token)
    mounts = json.loads(os.environ["MESHKIT_MOUNTS"])
    main([replaced(word, mounts) for word in words])


def replaced(word: str, mounts: dict[str, str]) -> str:
    """A word of the command line, with the path of a volume in place of its mount path."""
    for path, folder in mounts.items():
        if word == path or word.startswith(f"{path.rstrip('/')}/"):
            return folder + word[len(path.rstrip("/")) :]
    return word


if __name__ == "__main__":
    run(sys.argv[1:])
