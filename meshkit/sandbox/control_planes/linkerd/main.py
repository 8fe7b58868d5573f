"""The program of Linkerd's components, started with the role of the component, as ``--roles injector``.

The program uses the mounts of Linkerd's charts as Linkerd does: the webhooks serve the mounted certificate,
and every identity replica issues certificates. The RBAC roles of these charts allow neither writes nor
leader election.
"""

from __future__ import annotations

from meshkit.meshes.linkerd.meaning import sidecar as meaning
from meshkit.sandbox.control_planes.linkerd import validator
from meshkit.sandbox.control_planes.linkerd.authorities import ISSUER, WEBHOOK
from meshkit.sandbox.control_planes.linkerd.data_plane import DATA_PLANE
from meshkit.sandbox.control_planes.linkerd.injector import annotate, inject
from meshkit.sandbox.control_planes.process import Mounts, Settings, Validators, main

SETTINGS = Settings(
    data_plane=DATA_PLANE,
    meaning=meaning,
    inject=inject,
    annotate=annotate,
    ready_ports={
        "config": 9996,
        "identity": 9990,
        "injector": 9995,
        "profile-validator": 9997,
        "policy-validator": 9990,
    },
    webhook_port=8443,
    webhook_service="linkerd-proxy-injector",
    workload_ca=(ISSUER,),
    webhook_ca=(WEBHOOK,),
    lifetime_variable="LINKERD2_IDENTITY_ISSUANCE_LIFETIME",
    leases={
        "config": "linkerd-destination",
        "identity": "linkerd-identity",
        "injector": "linkerd-proxy-injector",
    },
    issuer_deployment="linkerd-identity",
    config_source="linkerd-policy-controller",
    mounts=Mounts(
        serving_pair="/var/run/linkerd/tls",
        issuer="/var/run/linkerd/identity/issuer",
        roots="/var/run/linkerd/identity/trust-roots",
        values="/var/run/linkerd/config",
    ),
    validators=Validators(
        ports={"profile-validator": 8443, "policy-validator": 9443}, application=validator.application
    ),
)

if __name__ == "__main__":
    main(SETTINGS)
