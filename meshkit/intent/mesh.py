"""The control plane of a mesh."""

from __future__ import annotations

from pydantic import Field

from meshkit.intent.base import Intent, Name


class ControlPlane(Intent):
    """A control plane that survives the loss of a zone: replicas spread over zones, a disruption budget."""

    version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$",
        description="a version of the mesh such as '1.31.4', or nothing for the one meshkit is tested with",
    )
    namespace: Name | None = Field(
        default=None,
        description="a namespace, or nothing for the mesh's own (istio-system, linkerd)",
    )
    replicas: int = Field(
        default=3, ge=1, le=50, description="a number of replicas of each component, 1 to 50"
    )
    zones: int = Field(
        default=3, ge=1, le=10, description="a number of zones the replicas are spread over, 1 to 10"
    )
