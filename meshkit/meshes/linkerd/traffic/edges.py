"""Say what a release at the edge needs beside Linkerd, whose gateways are those of other projects."""

from __future__ import annotations

from meshkit.facts import Snapshot
from meshkit.intent.release import Release
from meshkit.kube.metadata import title
from meshkit.meshes.base import Edge
from meshkit.meshes.gateway_api.edges import READERS
from meshkit.meshes.routing.edges import at_gateways, reached_by


def others_edge(release: Release, snapshot: Snapshot) -> Edge:
    """A sentence for each route of a gateway that sends requests to the Service or to one of its versions."""
    versions = (release.stable, release.canary)
    reached = dict.fromkeys(
        (title(obj), service)
        for reader, obj, _, rule in at_gateways(snapshot, READERS)
        if (service := reached_by(rule, reader, obj, release, snapshot, versions))
    )
    address = f"{release.service}.{release.namespace}:{release.port}"
    return Edge(
        unmoved=tuple(
            f"{name} sends requests from outside to {service} through a gateway whose own controller decides"
            " by which weights; the release does not shift them. To shift them, let Linkerd inject the pods"
            f" of the gateway, and let it send to the address of the Service, {address}, rather than to its"
            " pods or its versions: these requests then follow the release like those of any caller."
            for name, service in reached
        )
    )
