"""Shared code for the control planes of all meshes: identifying components, and chart releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshkit.errors import BadInput
from meshkit.facts import Object
from meshkit.intent.mesh import ControlPlane, Resources
from meshkit.kube.helm import RELEASE, WAIT_S
from meshkit.kube.kinds import DEPLOYMENT
from meshkit.kube.manifests import obj, spread
from meshkit.kube.metadata import Labels
from meshkit.kube.metadata import labels as labels_of
from meshkit.kube.pods import image_tag
from meshkit.kube.steps import Step, Wait
from meshkit.meshes.injection import DEFAULT_REVISION


class MinorSkew(NamedTuple):
    """The maximum number of minor versions of an upgrade, in place and beside the old control plane."""

    in_place: int
    beside: int


@dataclass(frozen=True)
class ControlPlaneFacts:
    """The labels and defaults of a mesh's control plane."""

    home: str
    """The usual namespace."""
    component_label: str
    """The label of its Deployments."""
    components: tuple[str, ...]
    """The values of that label in every installation."""
    part: str
    """A label of all its pods, with a value if others use the label too. It identifies all parts of the
    control plane, including those that are not in ``components``.
    """
    image: str
    """The suffix of the repository of its published image: ``istio/pilot``."""
    default_version: str
    resources: Resources
    """The default resource requests of a replica."""
    version_value: tuple[str, ...]
    """The path of the version in the values of its charts."""
    minor_skew: MinorSkew | None = None
    """None if the version numbers do not limit upgrades."""
    node_proxy: str = ""
    """The suffix of the repository of the proxy on every node that carries the connections of pods without
    a sidecar; empty for a mesh without one."""
    node_agents: tuple[str, ...] = ()
    """Those of its other programs on every node."""
    revision_label: str = ""
    """The label of a Deployment with its revision; empty for a mesh without revisions."""
    writers: tuple[str, ...] = ()
    """The field managers of the control plane's own writes, also to fields of its charts' objects."""

    def is_component(self, deployment: Object) -> bool:
        """Whether a Deployment, or one of its pods, is a component that every installation has."""
        return labels_of(deployment).get(self.component_label) in self.components

    def is_part(self, one: Object) -> bool:
        """Whether a Deployment, a pod or a pod template carries the label of the control plane's parts."""
        key, _, value = self.part.partition("=")
        found = labels_of(one).get(key)
        return found is not None and value in ("", found)

    def revision_of(self, component: Object) -> str:
        """The revision of a Deployment of the control plane."""
        return str(labels_of(component).get(self.revision_label, DEFAULT_REVISION))

    def version_of(self, component: Object) -> str:
        """The version of a Deployment of the control plane: the tag of its own image, empty without one."""
        containers = component["spec"]["template"]["spec"].get("containers") or ()
        images = (str(each["image"]).partition("@")[0] for each in containers)
        name = self.image.rpartition("/")[2]
        own = (image for image in images if image.rpartition(":")[0].endswith(f"/{name}"))
        return next(map(image_tag, own), "")


def facts_of(mesh: str) -> ControlPlaneFacts:
    """The control plane facts of a mesh. Raises UnknownName."""
    from meshkit.meshes import registry  # imported late to avoid an import cycle

    return registry.mesh(mesh).control_plane


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
    """A step that installs or upgrades a release of one of the intent's charts.

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
    """Raise ``BadInput`` for a version that meshkit was not tested with, unless the intent allows it."""
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
