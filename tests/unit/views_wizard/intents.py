"""A Route with fields of each kind."""

from __future__ import annotations

from meshkit.intent.balancing import OutlierDetection
from meshkit.intent.rules import Retries
from meshkit.intent.traffic import HeaderMatch, Route, Version

ROUTE = Route(
    namespace="shop",
    service="web",
    port=8080,
    versions=(Version(name="v1"), Version(name="v2", labels={"release": "b"})),
    split={"v1": 90, "v2": 10},
    matches=(HeaderMatch(header="x-canary", value="on", version="v2"),),
    retries=Retries(attempts=2),
    outlier_detection=OutlierDetection(),
    timeout_s=2.5,
)
