"""The program of the image ``meshkit``: the command line of the installed package.

A container finds its account and its volumes below fixed paths. Processes of the sandbox share the machine's
file system, so the account is given in a kubeconfig, and the volumes are where the pod's folder has them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

CONTEXT = "in-cluster"


def run(words: list[str]) -> None:
    """Become ``meshkit`` with these words, as the account of this pod."""
    file = Path(os.environ["MESHKIT_POD_DIR"]) / "kubeconfig"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        json.dump(kubeconfig(), opened)
    mounts = json.loads(os.environ["MESHKIT_MOUNTS"])
    command = [sys.executable, "-P", "-m", "meshkit", *(replaced(word, mounts) for word in words)]
    os.execve(command[0], command, {**os.environ, "KUBECONFIG": str(file)})


def kubeconfig() -> dict[str, object]:
    """A kubeconfig with the API server and the token of the pod's account."""
    cluster = {
        "server": os.environ["MESHKIT_API"],
        "certificate-authority": os.environ["MESHKIT_CA"],
    }
    user = {"tokenFile": os.environ["MESHKIT_TOKEN_FILE"]}
    context = {"cluster": CONTEXT, "user": CONTEXT}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": context}],
        "current-context": CONTEXT,
    }


def replaced(word: str, mounts: dict[str, str]) -> str:
    """A word of the command line, with the path of a volume in place of its mount path."""
    for path, folder in mounts.items():
        if word == path or word.startswith(f"{path.rstrip('/')}/"):
            return folder + word[len(path.rstrip("/")) :]
    return word


if __name__ == "__main__":
    run(sys.argv[1:])
