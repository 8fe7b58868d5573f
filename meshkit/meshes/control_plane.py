"""What the control planes of all meshes share: components, and releases of their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshkit.errors import BadInput
from meshkit.intent.mesh import ControlPlane
from meshkit.kube.helm import RELEASE, WAIT_S
from meshkit.kube.kinds import DEPLOYMENT
from meshkit.kube.manifests import (
    obj,
    spread,
)
from meshkit.kube.metadata import Labels
from meshkit.kube.steps import Step, Wait


def release_step(
    name: str,
    namespace: str,
    intent: ControlPlane,
    values: Mapping[str, Any],
    *,
    published: str,
    directories: Sequence[str],
    version: str,
    tested: Sequence[str],
) -> Step:
    """A step that installs or upgrades one release of the charts that the intent names.

    ``directories`` are the chart's places below a directory of charts, the first being its name;
    ``published`` is where the mesh's makers publish it, ``version`` the chart's version there. A chart whose
    version begins with none of ``tested`` is refused unless the intent takes untested ones.
    """
    source = published if intent.charts == "published" else str(intent.charts)
    is_directory = not source.startswith(("http://", "https://", "oci://"))
    spec = {
        "source": source,
        "directories": list(directories),
        "version": "" if is_directory else version,
        "tested": [] if intent.untested else list(tested),
        "values": dict(values),
    }
    return Step(obj(RELEASE, name, namespace, spec=spec), wait=Wait("trusted", WAIT_S))


def require_tested(version: str, tested: Sequence[str], intent: ControlPlane) -> None:
    """Refuse a version that meshkit has not been tested with, unless the intent says so."""
    if not intent.untested and not version.startswith(tuple(tested)):
        raise BadInput(
            "control_plane.version",
            f"meshkit has not been tested with {version}, only with {', '.join(f'{t}*' for t in tested)}.",
            remedy="Take one of these, or set untested=True.",
        )


@dataclass(frozen=True)
class Component:
    """A Deployment of a control plane: one container, ready when ``ready_port`` answers /ready with 200."""

    name: str
    container: str
    image: str
    args: tuple[str, ...]
    account: str
    ports: Mapping[str, int]
    ready_port: int
    cpu: str
    memory: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def deployment(
        self, namespace: str, labels: Labels, selector: Labels, intent: ControlPlane
    ) -> dict[str, Any]:
        """The Deployment, spread over zones and nodes."""
        pod: dict[str, Any] = {"serviceAccountName": self.account, "containers": [self._container()]}
        if intent.priority_class:
            pod["priorityClassName"] = intent.priority_class
        if intent.zones > 1:
            pod["topologySpreadConstraints"] = spread(selector)
        spec = {
            "replicas": intent.replicas,
            "selector": {"matchLabels": dict(selector)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {**labels, **selector}}, "spec": pod},
        }
        return obj(DEPLOYMENT, self.name, namespace, labels=labels, spec=spec)

    def _container(self) -> dict[str, Any]:
        return {
            "name": self.container,
            "image": self.image,
            "args": list(self.args),
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                *({"name": name, "value": value} for name, value in self.environment.items()),
            ],
            "ports": [
                {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in self.ports.items()
            ],
            "readinessProbe": {
                "httpGet": {"path": "/ready", "port": self.ready_port},
                "initialDelaySeconds": 1,
                "periodSeconds": 3,
                "timeoutSeconds": 5,
            },
            "resources": {"requests": {"cpu": self.cpu, "memory": self.memory}},
        }
