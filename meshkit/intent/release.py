"""The intent to run a canary release: its steps, margins, objectives and deadline."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from meshkit.intent.base import At, Intent, Name, Part, is_name
from meshkit.intent.cohort import Cohort
from meshkit.intent.gates import Gate, SecretKey
from meshkit.intent.traffic import PRIMARY


def _route_reference(text: str) -> str:
    parts = text.split("/")
    if len(parts) == 1 and is_name(text):
        return text
    if len(parts) in (3, 4) and parts[0].isalpha() and is_name(parts[1]) and all(parts):
        return text
    raise ValueError(f"{text!r} is neither the name of a route nor KIND/NAMESPACE/NAME of an object")


class Margins(Part):
    """How much worse than the stable version the canary may be, measured at the same time."""

    error_points: float = Field(
        default=0.2,
        gt=0,
        le=100,
        description="tolerated increase of failed requests, in percentage points, above 0",
    )
    p50_percent: float = Field(
        default=10, gt=0, description="tolerated increase of the median latency, in percent, above 0"
    )
    p90_percent: float = Field(
        default=10,
        gt=0,
        description="tolerated increase of the 90th percentile of latency, in percent, above 0",
    )
    p99_percent: float = Field(
        default=10,
        gt=0,
        description="tolerated increase of the 99th percentile of latency, in percent, above 0",
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="how sure a verdict must be, between 0.5 and 1; 0.95 errs in at most 5 % of releases",
    )


class Objectives(Part):
    """Service level objectives for every version; they help to judge a canary that gets little traffic.

    Set the tightest values that the team commits to and that the stable version meets. The verdict ignores
    an objective that the stable version does not meet, and reports that.
    """

    error_percent: float | None = Field(
        default=None,
        gt=0,
        lt=50,
        description="at most this share of requests fails, in percent, below 50",
        examples=[1],
    )
    slower_percent: float | None = Field(
        default=None,
        gt=0,
        lt=50,
        description="at most this share of requests is slower than slower_than_ms, in percent, below 50",
        examples=[1],
    )
    slower_than_ms: float | None = Field(
        default=None,
        gt=0,
        description="the latency threshold of slower_percent, in ms, above 0",
        examples=[300],
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.slower_percent is None) != (self.slower_than_ms is None):
            missing = "slower_percent" if self.slower_percent is None else "slower_than_ms"
            raise At((missing,), "is missing: slower_percent and slower_than_ms are set together")
        if self.error_percent is None and self.slower_percent is None:
            raise At((), "no objective is set")
        return self


class MirrorFirst(Part):
    """Copies of requests that the canary gets before its first share; nobody waits for its answers."""

    percent: float = Field(
        default=100, gt=0, le=100, description="the share of the requests that is copied, in percent"
    )
    for_s: float = Field(
        default=60, gt=0, description="how long the canary is judged by its copies at least, in seconds"
    )


Lead = Literal["mirror", "cohort", "testers"]
"""What brings a canary its first requests before it gets a share: a stage of a release at 0 %."""


class Release(Intent):
    """A release of one Service from a stable version to a new one: by weights, A/B, or blue/green."""

    name: Name = Field(description="the name of the release, such as 'web-v2'", examples=["web-v2"])
    namespace: Name = Field(description="the namespace of the Service", examples=["shop"])
    service: Name = Field(description="the name of the Service", examples=["web"])
    port: int = Field(ge=1, le=65535, description="a port of the Service, 1 to 65535", examples=[8080])
    stable: Name = Field(description="the version that serves now", examples=["v1"])
    canary: Name = Field(description="the version to release", examples=["v2"])
    route: Annotated[str, AfterValidator(_route_reference)] = Field(
        default=PRIMARY,
        description="the name of the route whose weights are moved, or the object that holds them, as "
        "KIND/NAMESPACE/NAME or KIND/NAMESPACE/NAME/RULE, such as 'VirtualService/shop/web'; RULE is its "
        "rule's name or number",
    )
    steps: tuple[float, ...] = Field(
        default=(1, 5, 25, 50, 100),
        min_length=1,
        description="the canary's shares in percent, rising, at most one decimal, 100 at the end. [100] "
        "alone is blue/green: all requests at once, after testers or mirror have shown the canary; it is the "
        "default with a cohort",
    )
    testers: Cohort | None = Field(
        default=None,
        description="requests that go to the canary whatever the weights, from the start of the release to "
        "its end, by a rule that it puts in front of its own and removes; or nothing for none",
        examples=[{"headers": {"x-tester": "yes"}}],
    )
    cohort: Cohort | None = Field(
        default=None,
        description="A/B: these requests go to the canary, and are compared with all others, until it is "
        "promoted; without shares, unless steps are given too; or nothing for shares alone",
        examples=[{"headers": {"x-group": "b"}}],
    )
    mirror: MirrorFirst | None = Field(
        default=None,
        description="copies of requests for the canary, before all else, by which it is judged; or nothing "
        "for none",
        examples=[{"percent": 20, "for_s": 300}],
    )
    step_s: float = Field(default=60, gt=0, description="how long a step is watched at least, in seconds")
    look_s: float = Field(default=5, gt=0, description="time between two measurements, in seconds")
    min_requests: int = Field(
        default=100,
        ge=1,
        description="requests the canary must have answered in a step after its warm-up before it may go on, "
        "at least 1",
    )
    margins: Margins = Field(default=Margins(), description="how much worse than stable the canary may be")
    objectives: Objectives | None = Field(
        default=None, description="service level objectives for every version, or nothing for none"
    )
    baseline_s: float = Field(
        default=600,
        ge=0,
        description="how long stable's own pods are measured before the first weight, in seconds; 0: only "
        "until 1,000 requests were seen, and differences between pods are not allowed for",
    )
    soak_s: float = Field(
        default=600,
        ge=0,
        description="how long both versions are compared at least before promotion, in seconds: a leak of "
        "1 % a minute needs about 10 minutes to show",
    )
    warm_up_s: float = Field(
        default=120,
        ge=0,
        description="time after the first request of a new pod during which its slow requests are not "
        "judged, in seconds, at least 0: compilers and caches need about two minutes; where pods are not "
        "told apart, it is the time after a shift and after the start of the newest pod",
    )
    deadline_s: float = Field(
        default=3600,
        gt=0,
        description="the longest a release may take, in seconds, without the time while it is held or waits "
        "for a gate",
    )
    on_harm: Literal["rollback", "freeze"] = Field(
        default="rollback",
        description="what follows if the canary is worse: rollback (the stable version serves all requests "
        "again) or freeze (the weights stay, harm goes on, and a person decides: rollback or promote)",
    )
    at_deadline: Literal["rollback", "hold"] = Field(
        default="rollback",
        description="what follows an undecided release: rollback (the stable version serves all requests "
        "again) or hold (keep the weights and go on watching until a person decides)",
    )
    watch_s: float = Field(
        default=3600,
        ge=0,
        description="how long the promoted canary is watched for slow leaks, in seconds; 0: not at all",
    )
    keep_percent: float = Field(
        default=5,
        ge=0,
        lt=50,
        description="share of the requests that stable keeps for that time to compare with, in percent below "
        "50; at 0 slowdowns under about 40 % stay invisible after promotion",
    )
    unattended_s: float = Field(
        default=120,
        ge=15,
        description="how long nobody may run the release before its guardian, if it has one, rolls it back, "
        "in seconds, at least 15",
    )
    gates: tuple[Gate, ...] = Field(
        default=(),
        description="decisions that the release waits for before a step; a worse canary is rolled back "
        "meanwhile",
        examples=[[{"name": "approval", "before": 50, "expires_s": 3600, "at_expiry": "hold"}]],
    )
    notify: SecretKey | None = Field(
        default=None,
        description="the Secret's key with the address of a webhook that gets every transition as JSON, or "
        "nothing for none",
        examples=[{"name": "release-webhook", "key": "url"}],
    )

    @property
    def route_name(self) -> str:
        """The name of the route; ``primary`` where the release names an object."""
        return PRIMARY if "/" in self.route else self.route

    @property
    def route_object(self) -> tuple[str, str, str] | None:
        """Kind, namespace and name of the object that the release names, or None."""
        parts = self.route.split("/")
        return (parts[0], parts[1], parts[2]) if len(parts) > 1 else None

    @property
    def route_rule(self) -> str | None:
        """The rule of the object that the release names, or None."""
        parts = self.route.split("/")
        return parts[3] if len(parts) == 4 else None

    @property
    def lead_in(self) -> tuple[Lead, ...]:
        """The stages at 0 %, in order, in which the canary is judged before its first share."""
        found: list[Lead] = ["mirror"] if self.mirror else []
        if self.cohort:
            found.append("cohort")
        if self.at_once and not found:
            found.append("testers")
        return tuple(found)

    @property
    def at_once(self) -> bool:
        """Whether all requests are shifted at once (blue/green), without shares or a cohort before."""
        return len(self.steps) == 1 and not self.cohort

    @property
    def keeps_stable(self) -> bool:
        """Whether the stable version keeps a share after the promotion, to compare with."""
        return bool(self.watch_s and self.keep_percent and not self.at_once)

    @property
    def ladder(self) -> tuple[float, ...]:
        """The canary's shares in percent, in order: 0 for each stage before the first, the steps, and the
        observation before 100 %.
        """
        watched = (100 - self.keep_percent,) if self.keeps_stable else ()
        return (*(0.0 for _ in self.lead_in), *self.steps[:-1], *watched, 100)

    @property
    def deciding_step(self) -> int:
        """The index of the step that ends with the decision to promote."""
        return len(self.lead_in) + len(self.steps) - 2

    def lead_at(self, step: int) -> Lead | None:
        """What brings the canary its requests at a step of the ladder; None: its share, or nothing yet."""
        return self.lead_in[step] if 0 <= step < len(self.lead_in) else None

    def least_s(self, step: int) -> float:
        """How long a step of the ladder is watched at least, in seconds."""
        return self.mirror.for_s if self.mirror and self.lead_at(step) == "mirror" else self.step_s

    def additions_at(self, step: int) -> tuple[str, ...]:
        """What the release adds to its route while it is at a step: the names of its fields."""
        found = ["mirror"] if self.lead_at(step) == "mirror" else []
        if self.cohort and self.lead_in.index("cohort") <= step <= self.deciding_step:
            found.append("cohort")
        return (*found, *(("testers",) if self.testers else ()))

    def gates_before(self, step: int) -> tuple[Gate, ...]:
        """The gates in front of a step of the ladder; one before 100 % is in front of the promotion."""
        ahead = len(self.lead_in)
        return tuple(gate for gate in self.gates if ahead + self.steps.index(gate.before) == step)

    @model_validator(mode="before")
    @classmethod
    def _a_cohort_needs_no_shares(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("cohort") and "steps" not in given:
            return {**given, "steps": (100,)}
        return given

    @field_validator("steps")
    @classmethod
    def _rise_to_100(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        for i, step in enumerate(steps):
            if not 0 < step <= 100:
                raise At((i,), f"{step:g} is not between 0 and 100")
            if Decimal(str(step)) * 10 % 1:
                raise At((i,), f"{step:g} has more than one decimal")
            if i and step <= steps[i - 1]:
                raise At((i,), f"{step:g} does not rise above {steps[i - 1]:g}")
        if steps[-1] != 100:
            raise At((len(steps) - 1,), f"the last step is {steps[-1]:g}, not 100")
        return steps

    @model_validator(mode="after")
    def _two_versions(self) -> Self:
        if self.stable == self.canary:
            raise At(("canary",), f"it is {self.stable!r}, the same version as stable")
        if any(later <= step for step, later in pairwise(self.ladder[len(self.lead_in) :])):
            most = 100 - self.steps[-2]
            raise At(("keep_percent",), f"{self.keep_percent:g} is not below the {most:g} of the last step")
        return self

    @model_validator(mode="after")
    def _is_judged_before_it_serves_all(self) -> Self:
        if self.at_once and not (self.testers or self.mirror):
            problem = "nothing is judged before all requests: set testers or mirror, or a step below 100"
            raise At(("steps",), problem)
        return self

    @model_validator(mode="after")
    def _gates_have_steps(self) -> Self:
        for number, gate in enumerate(self.gates):
            if gate.before not in self.steps:
                shares = ", ".join(f"{step:g}" for step in self.steps)
                raise At(("gates", number, "before"), f"{gate.before:g} is none of the steps {shares}")
            if gate.name in [earlier.name for earlier in self.gates[:number]]:
                raise At(("gates", number, "name"), f"{gate.name!r} is the name of another gate")
        return self
