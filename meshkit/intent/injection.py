"""The intent to inject sidecars into the pods of a namespace."""

from __future__ import annotations

from pydantic import Field

from meshkit.intent.base import Intent, Name


class Injection(Intent):
    """New pods of a namespace get a sidecar; running pods get one when they are restarted."""

    namespace: Name = Field(description="the namespace whose pods join the mesh", examples=["shop"])
    revision: Name | None = Field(
        default=None,
        description="a revision or tag of Istio, or nothing for the one the namespace has, else the default",
    )
    restart: bool = Field(
        default=True,
        description="true restarts the Deployments whose pods have no sidecar yet",
    )
    at_once: int = Field(
        default=1,
        ge=1,
        le=20,
        description="a number of workloads that are restarted at the same time, 1 to 20",
    )
