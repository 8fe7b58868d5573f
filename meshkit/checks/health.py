"""Run all checks of a mesh, before its installation or while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshkit.checks import (
    access,
    agents,
    availability,
    certificates,
    control_plane_objects,
    environment,
    gitops,
    injection,
    ports,
    quota,
    routes,
    skew,
    webhooks,
)
from meshkit.checks.calls import standing
from meshkit.facts import Finding
from meshkit.meshes import registry
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.view import View

_ORDER = {"error": 0, "warning": 1, "info": 2}


def findings(view: View, *, pre: bool = False) -> tuple[Finding, ...]:
    """All findings, worst first. ``pre`` checks whether the mesh can be installed."""
    rules = registry.mesh(view.mesh).checks
    if pre:
        unsorted = [*environment.before(view, rules), *_own(view, rules, pre=True)]
    else:
        unsorted = [*environment.around(view, rules), *(_running(view, rules) if view.components else ())]
    return in_order(unsorted)


def findings_of_objects(view: View) -> tuple[Finding, ...]:
    """The findings about objects that need no running control plane, worst first."""
    rules = registry.mesh(view.mesh).checks
    own = (finding for check in rules.of_objects for finding in check(view))
    return in_order(
        [*routes.check(view), *standing.check(view), *ports.check(view, rules), *access.check(view), *own]
    )


def in_order(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each once, worst first."""
    # Two checks may report the same finding, for example about a CA that is also a webhook's CA bundle.
    return tuple(sorted(dict.fromkeys(found), key=lambda f: (_ORDER[f.severity], f.code, f.object)))


def _running(view: View, rules: MeshChecks) -> Iterator[Finding]:
    yield from availability.check(view)
    yield from webhooks.check(view)
    yield from injection.check(view)
    yield from skew.check(view)
    yield from routes.check(view)
    yield from standing.check(view)
    yield from quota.check(view)
    yield from control_plane_objects.check(view, rules)
    yield from agents.check(view, rules)
    yield from certificates.check(view, rules)
    yield from access.check(view)
    yield from ports.check(view, rules)
    yield from gitops.check(view)
    yield from _own(view, rules, pre=False)


def _own(view: View, rules: MeshChecks, *, pre: bool) -> Iterator[Finding]:
    for check in rules.before if pre else rules.running:
        yield from check(view)
