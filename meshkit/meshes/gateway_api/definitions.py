"""The Gateway API's definitions: those that are missing, and whether those of others serve what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object, Snapshot
from meshkit.kube.kinds import CUSTOM_RESOURCE_DEFINITION
from meshkit.kube.metadata import managers
from meshkit.meshes.definitions import crds

_MANAGER = "meshkit"
_VERSION = "v1"
"""The version in which meshkit writes routes, and in which every supported mesh reads them."""


def definitions(snapshot: Snapshot) -> Iterator[Object]:
    """The definitions to install: all but those that somebody else installed, which stay as they are.

    Raises ``BadInput`` for a definition of somebody else that does not serve the version that is needed.
    """
    for definition in crds("gateway_api"):
        name = definition["metadata"]["name"]
        present = snapshot.find(CUSTOM_RESOURCE_DEFINITION.kind, name)
        if present is None or _MANAGER in managers(present, "spec"):
            yield definition
            continue
        served = [each["name"] for each in present["spec"]["versions"] if each.get("served", True)]
        if _VERSION not in served:
            problem = f"{name}, which {_installer(present)} installed, serves {', '.join(served)}"
            raise BadInput(
                "control_plane",
                f"{problem} and not {_VERSION}.",
                remedy="Upgrade the Gateway API to 1.1 or later with the tool that installed it.",
            )


def missing(kinds: Iterable[Kind], snapshot: Snapshot) -> tuple[str, ...]:
    """The definitions that the cluster lacks or does not serve in the version of a kind, with that version.

    None where no definitions are seen: every cluster with a mesh has some, so the account may not read them.
    """
    found = list(snapshot.of(CUSTOM_RESOURCE_DEFINITION.kind))
    served = {
        Kind(f"{each['spec']['group']}/{version['name']}", each["spec"]["names"]["kind"])
        for each in found
        for version in each["spec"]["versions"]
        if version.get("served", True)
    }
    absent = [kind for kind in kinds if kind not in served]
    return tuple(f"{kind.kind} ({kind.api_version})" for kind in absent) if found else ()


def _installer(definition: Object) -> str:
    return ", ".join(dict.fromkeys(managers(definition, "spec"))) or "somebody else"
