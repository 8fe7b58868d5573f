"""A third mesh: one folder, and one row that a fixture adds to the table.

It has no revisions, no analyzer, no rights of its own: what not every mesh has is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.intent.mesh import Resources
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.kube.metadata import annotations_of, labels
from meshkit.meshes.base import Mesh, MeshKinds, RemovalMarks
from meshkit.meshes.checks import KubernetesRange, MeshChecks, NodeAgent, PortProtocols
from meshkit.meshes.control_plane import ControlPlaneFacts
from meshkit.meshes.injection import DEFAULT_REVISION, Injection, ProxyOrigin
from tests.toy_mesh import meaning
from tests.toy_mesh.metrics import METRICS, SIDECAR
from tests.toy_mesh.planner import GROUP, HOME, INJECT, PLANNER, ROUTE, SETTINGS, VERSION, mutual_tls


def _decision(template: Object, home: Object, hook: Mapping[str, Any]) -> tuple[bool, str]:
    return True, "every pod that the webhook selects"


def _asks(namespace: Object) -> bool:
    return labels(namespace).get(INJECT) == "enabled"


def _refusal(template: Object) -> str:
    return f"its pods say {INJECT}=no" if annotations_of(template).get(INJECT) == "no" else ""


def _marked(namespace: Object) -> Object:
    meta = {**namespace["metadata"], "labels": {**labels(namespace), INJECT: "enabled"}}
    return {**namespace, "metadata": meta}


TOY = Mesh(
    name="toy",
    title="Toy",
    planner=PLANNER,
    metrics=METRICS,
    checks=MeshChecks(
        kinds=(),
        kubernetes=lambda version: KubernetesRange((1, 30)),
        init_container="toy-init",
        node_agent=NodeAgent("toy-node", "toy-validator"),
        definitions=(),
        authorities=(),
        gateway_versions=(),
        called_ports=(),
        port_protocols=PortProtocols(frozenset({"http"}), frozenset({"http"}), "takes it as plain TCP"),
        before=(),
        running=(),
    ),
    injection=Injection(
        sidecar=SIDECAR,
        webhook=f".{GROUP}",
        mark=INJECT,
        pin=f"{GROUP}/proxy-version",
        refusal=_refusal,
        decision=_decision,
        marked=_marked,
        asked=lambda namespace: DEFAULT_REVISION if _asks(namespace) else "",
        request=lambda namespace: f"{INJECT}=enabled" if _asks(namespace) else "",
        origin=lambda pod: ProxyOrigin(DEFAULT_REVISION, VERSION),
    ),
    control_plane=ControlPlaneFacts(
        home=HOME,
        component_label="app",
        components=("toyd",),
        part="app=toyd",
        image="toy/controller",
        default_version=VERSION,
        resources=Resources(cpu="10m", memory="16Mi"),
        version_value=("version",),
    ),
    kinds=MeshKinds(route=ROUTE, access=CONFIG_MAP),
    removal=RemovalMarks(
        charts=(),
        group=GROUP,
        written=(("ConfigMap", SETTINGS),),
        roots="toy-roots",
        elsewhere="The toy mesh is installed by meshkit alone.",
    ),
    mutual_tls=mutual_tls,
    meaning=meaning,
)
