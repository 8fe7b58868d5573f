"""Check what an account may read, where that is not the whole cluster.

What was not read may exist. So only those findings are kept that the objects of the namespaces prove by
themselves, and those about missing objects whose kinds were read in the whole cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from meshkit import codes
from meshkit.checks import quota
from meshkit.checks.health import findings_of_objects, in_order
from meshkit.codes.reach import PROVEN_BY, PROVEN_INSIDE
from meshkit.facts import Finding, Snapshot
from meshkit.meshes.view import View

_NEEDED = ("Pod", "Service")
"""The kinds without which the objects of a namespace prove nothing."""


def findings_of_some(view: View, namespaces: tuple[str, ...]) -> tuple[Finding, ...]:
    """The findings that hold whatever was not read, worst first, and one that names what was not read."""
    found = list(_only(_proven_by_absence(view), findings_of_objects(view)))
    outside = f" outside {' and '.join(namespaces)}"
    if all(text.endswith(outside) for text in view.snapshot.unread if text.partition(" ")[0] in _NEEDED):
        inside = _inside(view, namespaces)
        found += _only(PROVEN_INSIDE, (*findings_of_objects(inside), *quota.check(inside)))
    return in_order([_not_read(view, namespaces), *found])


def move_of_some(view: View, namespaces: tuple[str, ...], found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of the findings of a move that hold whatever was not read, and one that names what was not."""
    proven = PROVEN_INSIDE | _proven_by_absence(view)
    return in_order([_not_read(view, namespaces), *_only(proven, found)])


def _proven_by_absence(view: View) -> Set[str]:
    """The codes about missing objects whose kinds were read in the whole cluster."""
    return {name for name, kinds in PROVEN_BY.items() if not view.snapshot.unread_kinds & set(kinds)}


def _not_read(view: View, namespaces: tuple[str, ...]) -> Finding:
    unread = ", ".join(view.snapshot.unread)
    message = f"this account may not read {unread}; what depends on these is not checked."
    return codes.finding(codes.NOT_READ, f"Namespace {', '.join(namespaces)}", message)


def _inside(view: View, namespaces: tuple[str, ...]) -> View:
    """The objects of these namespaces only, so that all kinds were read alike."""
    objects = [
        item for item in view.snapshot.objects if item["metadata"].get("namespace") in (None, *namespaces)
    ]
    return View(Snapshot(objects, view.snapshot.unread), view.mesh, view.now)


def _only(names: Set[str], found: Iterable[Finding]) -> Iterator[Finding]:
    kept = {codes.register()[name].id for name in names}
    return (each for each in found if each.code in kept)
