"""Who may speak to whom, and how it is proven."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from meshkit.intent.base import Intent, Name


class MutualTLS(Intent):
    """What workloads accept: ``strict`` mutual TLS, ``permissive`` both, ``disable`` plain text."""

    mode: Literal["permissive", "strict", "disable"] = Field(description="permissive, strict or disable")
    namespace: Name | None = Field(
        default=None, description="the namespace it holds for, or nothing for the whole mesh"
    )
