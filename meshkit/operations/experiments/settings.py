"""What an experiment may set, and the limits that its user states for a cluster with real users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from meshkit.errors import BadInput
from meshkit.intent.balancing import ConnectionLimits, OutlierDetection
from meshkit.intent.base import Name, Part
from meshkit.intent.rules import Fault, Match, Mirror, Percent, Retries, Rule, Seconds, Split, TextMatch
from meshkit.intent.traffic import HeaderMatch, Route

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

ALLOWED_ANYWHERE = ("split", "headers", "mirror")
"""The settings that are possible on a cluster that is no sandbox."""


class WorkloadBehaviour(Part):
    """How a workload of the sandbox answers. What is left out stays as it is."""

    latency_ms: float | None = Field(
        default=None, ge=0, le=60_000, description="the median latency in ms", examples=[300]
    )
    error_percent: Percent | None = Field(
        default=None, description="the share of requests answered with status 500", examples=[30]
    )


class ExperimentSettings(Part):
    """The settings of an experiment at one time. What is left out is as the experiment found it."""

    split: Split | None = Field(
        default=None, description="a percentage for each version", examples=[{"v1": 80, "v2": 20}]
    )
    headers: tuple[HeaderMatch, ...] | None = Field(
        default=None, description="requests with a header that go to one version, before all other rules"
    )
    mirror: Mirror | None = Field(default=None, description="where a copy of the requests is sent")
    fault: Fault | None = Field(
        default=None, description="delays and errors that the callers' proxies add to all requests"
    )
    retries: Retries | None = Field(default=None, description="when a request is retried")
    timeout_s: Seconds | None = Field(default=None, description="time for a request and its retries, in s")
    connection_limits: ConnectionLimits | None = Field(
        default=None, description="limits of each client's proxy: a circuit breaker"
    )
    outlier_detection: OutlierDetection | None = Field(default=None, description="when a pod is ejected")
    behaviours: Mapping[Name, WorkloadBehaviour] | None = Field(
        default=None,
        description="Deployment in the namespace -> how it answers; on the sandbox only",
        examples=[{"stock": {"latency_ms": 300}}],
    )
    load_rps: float | None = Field(
        default=None, ge=0, le=2000, description="requests per second of the shop's caller; sandbox only"
    )
    lost_zone: str | None = Field(
        default=None, min_length=1, description="a zone whose nodes are switched off; sandbox only"
    )

    def changed(self, changes: Mapping[str, Any]) -> ExperimentSettings:
        """These settings with some replaced; None means as found. Raises ``BadInput``."""
        return ExperimentSettings(**{**self.given(), **changes})

    def given(self) -> dict[str, Any]:
        """The settings that differ from what the experiment found."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    def as_record(self) -> dict[str, Any]:
        """A JSON object of the settings that are given."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)

    def __str__(self) -> str:
        return ", ".join(f"{name} {_words(value)}" for name, value in self.as_record().items()) or "as found"

    def route(self, base: Route) -> Route:
        """The route with these settings in place of its own. Raises ``BadInput`` for what does not fit."""
        fields = {name: getattr(base, name) for name in Route.model_fields}
        for name in ("split", "fault", "retries", "timeout_s", "connection_limits", "outlier_detection"):
            if (value := getattr(self, name)) is not None:
                fields[name] = value
        first = tuple(_header_rule(match) for match in self.headers or ())
        fields["rules"] = (*first, *base.rules)
        if self.mirror is not None:
            # A mirror belongs to a rule, and a rule for every request comes before the matches of a route.
            fields["rules"] += tuple(map(_header_rule, base.matches))
            fields["rules"] += (Rule(split=fields["split"], mirror=self.mirror),)
            fields["matches"] = ()
        return Route(**fields)


class ExperimentLimits(Part):
    """What an experiment may do on a cluster that is no sandbox; faults and losses never belong to it."""

    most_percent: Mapping[Name, Percent] = Field(
        default_factory=dict,
        description="version -> the largest share that it may get; others keep at most what they have",
        examples=[{"v2": 10}],
    )
    headers: bool = Field(default=False, description="whether requests may be routed by a header")
    mirror_percent: Percent = Field(default=0.0, description="the largest share that may be mirrored")

    def require(self, settings: ExperimentSettings, base: Route) -> None:
        """Raise ``BadInput`` for a setting that these limits do not allow."""
        for name in settings.given():
            if name not in ALLOWED_ANYWHERE:
                raise BadInput(
                    name,
                    "it is possible on a sandbox only, and this cluster is none.",
                    remedy="Try it with 'meshkit sandbox up'; here an experiment may change "
                    "split, headers and mirror.",
                )
        main = max(base.split, key=lambda version: base.split[version])
        for version, percent in (settings.split or {}).items():
            most = self.most_percent.get(version, 100.0 if version == main else base.split.get(version, 0.0))
            if percent > most:
                problem = f"{percent:g} % is more than the limit of {most:g} %."
                remedy = (
                    f"Ask for less, or state ExperimentLimits(most_percent={{{version!r}: {percent:g}}})."
                )
                raise BadInput(f"split.{version}", problem, remedy=remedy)
        if settings.headers and not self.headers:
            problem = "the limits do not allow routing by header."
            raise BadInput("headers", problem, remedy="State ExperimentLimits(headers=True).")
        if settings.mirror and settings.mirror.percent > self.mirror_percent:
            problem = f"{settings.mirror.percent:g} % is more than the limit of {self.mirror_percent:g} %."
            remedy = f"State ExperimentLimits(mirror_percent={settings.mirror.percent:g})."
            raise BadInput("mirror.percent", problem, remedy=remedy)


def is_disposable(cluster: Cluster) -> bool:
    """Whether the nodes of a cluster can be switched off, so that nothing serves real users there."""
    from meshkit.errors import Forbidden
    from meshkit.operations.chaos import Chaos

    try:
        Chaos(cluster)
    except (BadInput, Forbidden):
        return False
    return True


def _header_rule(match: HeaderMatch) -> Rule:
    found = Match(headers={match.header: TextMatch(exact=match.value)})
    return Rule(matches=(found,), split={match.version: 100.0})


def _words(value: Any) -> str:
    """A value of a JSON object in short."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
