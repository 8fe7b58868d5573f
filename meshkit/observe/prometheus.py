"""An observer that reads the raw counters of the callers' proxies from Prometheus.

It does not use rate() or increase(), which extrapolate, because a canary is judged by counts. A proxy is one
target of Prometheus (``job`` and ``instance``). A target is ignored while it is down, and until Prometheus
has scraped it for ``SETTLED_S``, because its first sample has all counts since the proxy started. Responses
with a warning (partial results) and responses without the mesh's metrics raise NoData.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, NoData
from meshkit.meshes.metrics import MetricTable, Sample
from meshkit.observe.counters import Counters, Page, Target
from meshkit.observe.scrape import page_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

SETTLED_S = 60.0
"""Longer than the time between two readings, so that earlier counts of a new target never enter a window."""
ANSWER_TIMEOUT_S = 5.0
_REMEDY = "Check $MESHKIT_PROMETHEUS, or unset it to read the sidecars' own pages."
Identity = tuple[str, str]
"""(job, instance)"""


@dataclass(frozen=True)
class PrometheusObserver:
    """An Observer that queries Prometheus, or a server with its HTTP API, by the metric table of a mesh.

    The token is read from its file for each query, so that a rotated token is used, and is sent to this URL
    only: redirects are not followed, and plain http is allowed for loopback addresses only. Raises BadInput
    for an unsuitable URL.
    """

    table: MetricTable
    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    settled_s: float = SETTLED_S

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise BadInput(
                "prometheus", "not the URL of a Prometheus", remedy="Write it as https://HOST:PORT[/PATH]."
            )
        if parts.username or parts.password:
            raise BadInput(
                "prometheus",
                "the URL contains a user or password, which would appear in logs",
                remedy="Put a token into a file and name it in $MESHKIT_PROMETHEUS_TOKEN_FILE.",
            )
        if self.token_file and parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise BadInput(
                "prometheus", "a token is not sent over plain http", remedy="Use https, or a port-forward."
            )

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """Read the counters of all proxies that Prometheus scrapes.

        Raises NoData with the reason if the response is incomplete or has no proxy of this mesh.
        """
        del cluster  # Prometheus is asked, not the API server
        now_s = time.time()
        up = {_identity(labels): value for labels, value in self._ask("up", now_s)}
        known = {_identity(labels) for labels, _ in self._ask("up", now_s - self.settled_s)}
        found: dict[Identity, list[Sample]] = {}
        for labels, value in self._ask(_query(self.table, target), now_s):
            found.setdefault(_identity(labels), []).append(Sample(labels["__name__"], labels, value))
        proxies = {_identity(labels) for labels, _ in self._ask(self._proxies(), now_s)}
        asked = {*proxies, *found, *(each for each, value in up.items() if value != 1)}
        readable = {each for each in asked if up.get(each) == 1 and each in known}
        if not (proxies or found):
            raise NoData(
                f"Prometheus has no {self.table.requests}: it does not scrape this mesh's sidecars.",
                remedy=f"Configure it to scrape every sidecar on port {self.table.port}{self.table.path}.",
            )
        if not readable:
            raise NoData(
                f"Prometheus has scraped none of {len(asked)} targets for {self.settled_s:g} s.",
                remedy="Wait, or check its Targets page.",
            )
        pages: dict[str, Page | None] = {
            "/".join(each): self._page(found.get(each, ()), target) if each in readable else None
            for each in asked
        }
        # Prometheus does not tell when a proxy started, only when it was found.
        return Counters(now_s, target.versions, pages, started=dict.fromkeys(pages, 0.0))

    def _page(self, page_samples: Iterable[Sample], target: Target) -> Page:
        listed = list(page_samples)
        pod = next((sample.labels["pod"] for sample in listed if sample.labels.get("pod")), "")
        return page_of(listed, self.table, target, pod)

    def _proxies(self) -> str:
        return f"group by (job, instance) ({self.table.requests})"

    def _ask(self, query: str, at_s: float) -> Iterator[tuple[dict[str, str], float]]:
        """The series of an instant query. Raises NoData if the response is incomplete."""
        body = urllib.parse.urlencode({"query": query, "time": f"{at_s:.3f}"}).encode()
        request = urllib.request.Request(self.url.rstrip("/") + "/api/v1/query", data=body)
        request.add_header("Accept", "application/json")
        if self.token_file:
            request.add_unredirected_header("Authorization", f"Bearer {_read_token(self.token_file)}")
        answer = self._answer(request)
        if answer.get("status") != "success":
            raise NoData(
                f"Prometheus refused a query: {answer.get('error') or 'no reason given'}.", remedy=_REMEDY
            )
        if answer.get("warnings"):
            raise NoData(
                f"Prometheus returned partial results: {'; '.join(map(str, answer['warnings']))}.",
                remedy="Restore its stores: partial results are no basis for a verdict.",
            )
        try:
            found = [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]
        except (KeyError, TypeError, ValueError) as error:
            raise NoData(f"What answers at {self.url} is no Prometheus.", remedy=_REMEDY) from error
        return ((labels, value) for labels, value in found if math.isfinite(value))

    def _answer(self, request: urllib.request.Request) -> Mapping[str, Any]:
        try:
            tls = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=tls))
            with opener.open(request, timeout=ANSWER_TIMEOUT_S) as response:
                document = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _refusal(error)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise NoData(f"Prometheus at {self.url} does not answer: {reason}.", remedy=_REMEDY) from error
        if not isinstance(document, dict):
            raise NoData(f"What answers at {self.url} is no Prometheus.", remedy=_REMEDY)
        return document


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _refusal(error: urllib.error.HTTPError) -> Mapping[str, Any]:
    """The error response of Prometheus for an invalid query. Raises NoData for any other error status."""
    if error.code in (401, 403):
        raise NoData(
            f"Prometheus does not authorize the query (HTTP {error.code}).",
            remedy="Name a file with a valid token in $MESHKIT_PROMETHEUS_TOKEN_FILE.",
        ) from error
    try:
        document = json.loads(error.read())
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise NoData(f"Prometheus answered HTTP {error.code}.", remedy=_REMEDY) from error
    return document


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NoData(
            f"The token for Prometheus cannot be read: {error}.",
            remedy="Check $MESHKIT_PROMETHEUS_TOKEN_FILE.",
        ) from error


def _query(table: MetricTable, target: Target) -> str:
    """The query for all series of the target's versions; the table then tells which of them are failures."""
    names = {"service": target.service, "namespace": target.namespace}
    version_label, versions = target.told_by(table)
    where = target.where(table)
    metrics = [table.requests, f"{table.latency}_bucket"]
    base = [f"__name__=~{_any_of(metrics)}", f"{version_label}=~{_any_of(versions)}"]
    base += [f"{name}=~{_any_of(['', value.format(**names)])}" for name, value in table.where_present.items()]
    sides = [where, *([{**where, **table.pod_where}] if table.pod_where else [])]
    selectors = [[*base, *(f"{name}={json.dumps(value)}" for name, value in side.items())] for side in sides]
    for patterns in target.unreached(table):
        each = [f"__name__=~{_any_of(table.unreached.counters)}"]
        selectors.append(each + [f"{name}=~{json.dumps(pattern)}" for name, pattern in patterns.items()])
    return " or ".join("{" + ",".join(each) + "}" for each in selectors)


def _any_of(values: Iterable[str]) -> str:
    """The value of a regex matcher that matches one of these texts in full."""
    return json.dumps("|".join(re.escape(value) for value in values))


def _identity(labels: Mapping[str, str]) -> Identity:
    return labels.get("job", ""), labels.get("instance", "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
