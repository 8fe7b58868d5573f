"""The register of finding codes, each with its severity, meaning, reason and remedy.

Usage: ``codes.finding(codes.NO_READY_REPLICA, "Deployment a/b", "...")``. There is one file of codes for each
topic; ``python -m tools.findings`` generates ``docs/reference/findings.md`` from them. From
meshkit it imports only ``errors`` and ``facts``, and nothing here may emit a finding by itself.
"""

from meshkit.codes.access import *  # noqa: F403
from meshkit.codes.ambient import *  # noqa: F403  (the register is one namespace)
from meshkit.codes.code import Code, finding
from meshkit.codes.control_plane import *  # noqa: F403
from meshkit.codes.data_plane import *  # noqa: F403
from meshkit.codes.gateway_api import *  # noqa: F403
from meshkit.codes.gitops import *  # noqa: F403
from meshkit.codes.istio_objects import *  # noqa: F403
from meshkit.codes.istio_routes import *  # noqa: F403
from meshkit.codes.planned import *  # noqa: F403
from meshkit.codes.setup import *  # noqa: F403
from meshkit.codes.to_ambient import *  # noqa: F403
from meshkit.codes.traffic import *  # noqa: F403

BLOCKS = {
    "MK01": "What an intent asks for and the cluster does not have",
    "MK02": "Routes and their destinations",
    "MK03": "Plans, uninstalls and upgrades",
    "MK04": "Availability of the control plane",
    "MK05": "Webhooks",
    "MK06": "Injection of sidecars",
    "MK07": "Mutual TLS",
    "MK08": "Certificates and identity",
    "MK09": "Protocols of ports",
    "MK10": "Quotas",
    "MK11": "Pod Security",
    "MK12": "Installed control planes",
    "MK13": "Networks",
    "MK14": "Versions, nodes and rights",
    "MK15": "Programs of the meshes",
    "MK16": "Plan and forecast of a release",
    "MK17": "Stages of the guided setup",
    "MK18": "Istio's Gateways",
    "MK19": "Access policies of Linkerd",
    "MK20": "Istio's Sidecars, Telemetries and EnvoyFilters",
    "MK21": "Istio's ambient mode",
    "MK22": "Moving a namespace to Istio's ambient mode",
    "MK23": "Access rules on trial, and their exceptions",
    "MK24": "GitOps: what Argo CD or Flux would fight over",
}
"""The first two digits of a code -> the title of its block."""


def register() -> dict[str, Code]:
    """Constant name -> code, in the order of the codes."""
    named = {name: value for name, value in globals().items() if isinstance(value, Code)}
    return dict(sorted(named.items(), key=lambda item: item[1].id))


__all__ = ["BLOCKS", "Code", "finding", "register"]
