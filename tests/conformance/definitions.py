"""CustomResourceDefinitions on the real API server, served before anything is written by them."""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.cluster.api import Api
from meshkit.cluster.ready import established
from meshkit.facts import Kind, Object

DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def serve(api: Api, definitions: Iterable[Object]) -> None:
    """Apply definitions, and wait for each until its objects are served and listed.

    The API server opens the storage of a kind when it is asked for the first time. If the deletion of a
    definition is the first to ask, it fails, and its retry is lost where the API server still reads the
    definition of before (``CRDFinalizer.updateCustomResourceDefinition``): it then stays for hours.
    """
    for definition in definitions:
        api.apply(definition, manager="conformance", force=True)
        api.wait(DEFINITION, definition["metadata"]["name"], None, established, 30, "served")
        for _ in api.list(stored_kind(definition)):
            pass


def stored_kind(definition: Object) -> Kind:
    """The kind of a definition, in the version in which it is stored."""
    spec = definition["spec"]
    version = next(each["name"] for each in spec["versions"] if each["storage"])
    return Kind(f"{spec['group']}/{version}", spec["names"]["kind"])
