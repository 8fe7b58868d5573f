"""CustomResourceDefinitions on the real API server, served before anything is written by them."""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.cluster.api import Api
from meshkit.cluster.ready import established
from meshkit.facts import Kind, Object

DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def serve(api: Api, definitions: Iterable[Object]) -> None:
    """Apply definitions, and wait for each until its objects are served."""
    for definition in definitions:
        api.apply(definition, manager="conformance", force=True)
        api.wait(DEFINITION, definition["metadata"]["name"], None, established, 30, "served")
