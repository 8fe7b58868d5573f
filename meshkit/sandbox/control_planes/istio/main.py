"""The program of istiod's pods, started with ``--roles injector,config,identity``."""

from __future__ import annotations

from meshkit.meshes.istio.meaning import sidecar as meaning
from meshkit.meshes.istio.meaning.mesh_config import CONFIG_MAP
from meshkit.sandbox.control_planes.istio import elections
from meshkit.sandbox.control_planes.istio.authorities import PLUGGED_IN, SELF_SIGNED
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE
from meshkit.sandbox.control_planes.istio.injector import inject
from meshkit.sandbox.control_planes.istio.root_certificate import publish
from meshkit.sandbox.control_planes.istio.validation import warnings_of
from meshkit.sandbox.control_planes.process import Settings, main

SETTINGS = Settings(
    data_plane=DATA_PLANE,
    meaning=meaning,
    inject=inject,
    annotate=None,
    ready_ports={"injector": 8080},
    webhook_port=15017,
    webhook_service="istiod",
    workload_ca=(PLUGGED_IN, SELF_SIGNED),
    webhook_ca=(PLUGGED_IN, SELF_SIGNED),
    lifetime_variable="DEFAULT_WORKLOAD_CERT_TTL",
    # One leader runs all roles.
    leases={"injector": elections.LEASE},
    issuer_deployment="istiod",
    config_source="istiod",
    publish_roots=publish,
    warnings=warnings_of,
    mesh_config=CONFIG_MAP,
    agent="pilot-discovery",
    beside=elections.hold,
)

if __name__ == "__main__":
    main(SETTINGS)
