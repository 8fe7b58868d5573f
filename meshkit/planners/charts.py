"""Releases of Helm charts as steps: an object like any other to plan, show, apply and take back.

``cluster/helm.py`` gives such an object its life. Its fields are the chart, where it comes from, and values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.intent.mesh import ControlPlane
from meshkit.planners.kubernetes import notes, obj
from meshkit.planners.steps import Step, Wait

RELEASE = Kind("helm.sh/v1", "Release")
"""Not a kind of any API server: Helm keeps its releases in Secrets."""

WAIT_S = 300.0


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


def release_of(one: Object) -> tuple[str, str] | None:
    """Namespace and name of the release that made an object, by Helm's own notes on it."""
    found = notes(one)
    name = found.get("meta.helm.sh/release-name")
    return (found.get("meta.helm.sh/release-namespace", ""), name) if name else None


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays them: mappings key by key, everything else replaced.

    >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        result[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return result


def require_tested(version: str, tested: Sequence[str], intent: ControlPlane) -> None:
    """Refuse a version that meshkit has not been tested with, unless the intent says so."""
    if not intent.untested and not version.startswith(tuple(tested)):
        raise BadInput(
            "control_plane.version",
            f"meshkit has not been tested with {version}, only with {', '.join(f'{t}*' for t in tested)}.",
            remedy="Take one of these, or set untested=True.",
        )
