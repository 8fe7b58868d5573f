"""All checks of a mesh, before it is installed and while it runs, as one list: the worst first."""

from __future__ import annotations

from meshkit.checks import (
    agents,
    availability,
    certificates,
    injection,
    linkerd_identity,
    networks,
    ports,
    quota,
    routes,
    security,
    skew,
    webhooks,
)
from meshkit.checks import (
    control_plane_objects as parts,
)
from meshkit.checks import (
    environment as surroundings,
)
from meshkit.checks import (
    mesh_labels as marks,
)
from meshkit.checks import (
    opaque_ports as opaque,
)
from meshkit.checks import (
    webhook_certificates as serving,
)
from meshkit.facts import Finding
from meshkit.meshes.view import View

_ORDER = {"error": 0, "warning": 1, "info": 2}
_RUNNING = (
    *(availability, parts, agents, webhooks, certificates, serving, linkerd_identity),
    *(injection, skew, marks, security, routes, ports, opaque, networks, quota),
)


def findings(view: View, *, pre: bool = False) -> tuple[Finding, ...]:
    """What is wrong, or should be known. ``pre`` asks whether the mesh could be installed."""
    found = list(surroundings.before(view) if pre else surroundings.around(view))
    if view.components and not pre:
        found += [one for check in _RUNNING for one in check.check(view)]
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (_ORDER[one.severity], one.code, one.object)))
