"""The gates of a release: decisions that it waits for before it gives the canary a share."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from meshkit.intent.base import At, Name, Part, is_name


class SecretKey(Part):
    """A value that stands in a Secret, such as the address of a webhook; only the reference is written."""

    name: str = Field(description="the name of the Secret, in the namespace of the release")
    key: str = Field(default="url", min_length=1, description="the key in the Secret's data")

    @field_validator("name")
    @classmethod
    def _is_object_name(cls, name: str) -> str:
        if not all(map(is_name, name.split("."))):
            raise ValueError(f"{name!r} is not the name of a Secret")
        return name


class Gate(Part):
    """A decision that a release waits for, while its verdicts go on and a worse canary is rolled back."""

    name: Name = Field(description="the name of the gate", examples=["approval"])
    before: float = Field(
        default=100,
        gt=0,
        le=100,
        description="the canary gets this share in percent, one of the steps, only after the gate opened",
    )
    by: Literal["command", "file", "annotation", "webhook"] = Field(
        default="command",
        description="what opens it: command (meshkit release approve), file, annotation "
        "(meshkit.dev/gate-NAME on the workload of the canary) or webhook",
    )
    file: str = Field(
        default="",
        description="with by: file, its absolute path on the machine of the release's process; its first "
        "word is approve or reject, and the rest says why",
    )
    webhook: SecretKey | None = Field(
        default=None,
        description="with by: webhook, the Secret's key that has its address; it answers with a decision "
        "(approve, reject or wait), who and why",
    )
    expires_s: float = Field(
        default=3600, gt=0, description="how long the gate is waited for, in seconds; the deadline waits"
    )
    at_expiry: Literal["hold", "rollback"] = Field(
        default="hold",
        description="what follows when that time is over: hold (the weights stay, only a person's command "
        "opens it, and the deadline runs on) or rollback (the stable version serves all requests again)",
    )

    @model_validator(mode="after")
    def _has_its_place(self) -> Self:
        if self.by == "file" and not self.file.startswith("/"):
            raise At(("file",), f"{self.file!r} is not an absolute path" if self.file else "is missing")
        if self.by == "webhook" and self.webhook is None:
            raise At(("webhook",), "is missing")
        if self.by != "file" and self.file:
            raise At(("file",), f"it is set, but the gate opens by {self.by}")
        if self.by != "webhook" and self.webhook is not None:
            raise At(("webhook",), f"it is set, but the gate opens by {self.by}")
        return self
