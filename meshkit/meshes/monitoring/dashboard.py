"""A Grafana dashboard of the recorded signals, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from meshkit.meshes.monitoring import rules
from meshkit.meshes.monitoring.signals import WINDOW, Signals

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 12, 8
_CHOSEN = 'namespace=~"$namespace", service=~"$service"'
_SERVICE = "{{namespace}}/{{service}}"

Query = tuple[str, str]
"""A PromQL query and its legend."""


def dashboard(signals: Signals) -> str:
    """The dashboard of a mesh, with variables for data source, namespace and Service."""
    panels = [
        {**panel, "id": number + 1, "gridPos": _place(number)}
        for number, panel in enumerate(_panels(signals))
    ]
    page = {
        "uid": f"meshkit-{signals.mesh}",
        "title": f"Mesh: {signals.mesh.capitalize()}",
        "tags": ["meshkit", signals.mesh],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables(signals))},
        "panels": panels,
    }
    return json.dumps(page, indent=1) + "\n"


def _place(number: int) -> dict[str, int]:
    return {"x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}


def _panels(signals: Signals) -> Iterator[dict[str, Any]]:
    of_service = f'{{mesh="{signals.mesh}", {_CHOSEN}}}'
    mine = f'{{mesh="{signals.mesh}"}}'
    quantiles = [
        (f"{rules.LATENCY.format(percent=percent)}{of_service}", f"{_SERVICE} p{percent}")
        for percent in rules.PERCENTILES
    ]
    yield _panel("Requests", "reqps", (f"{rules.REQUESTS}{of_service}", _SERVICE))
    yield _panel("Failed requests", "percentunit", (f"{rules.FAILURE_RATIO}{of_service}", _SERVICE))
    yield _panel("Latency where callers are", "ms", *quantiles)
    yield _panel("Refused: no pod has room", "reqps", (f"{rules.REFUSED}{of_service}", _SERVICE))
    yield _panel("The authority is valid for", "s", (f"{rules.AUTHORITY}{mine}", "{{certificate}}"))
    scraped = (f'sum by (job) (up{{job=~"{signals.proxies.name}|{signals.control_plane.name}"}})', "{{job}}")
    yield _panel("Scraped", "short", scraped)
    if signals.rejects:
        rejects = (f"sum by (type) (increase({signals.rejects}[{WINDOW}]))", "{{type}}")
        yield _panel("Configurations refused by proxies", "short", rejects)


def _panel(title: str, unit: str, *queries: Query) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
        for number, (expr, legend) in enumerate(queries)
    ]
    defaults = {"unit": unit, "min": 0, "custom": {"lineWidth": 2, "fillOpacity": 0}}
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _variables(signals: Signals) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    of_mesh = f'{rules.REQUESTS}{{mesh="{signals.mesh}"}}'
    within = f'{rules.REQUESTS}{{mesh="{signals.mesh}", namespace=~"$namespace"}}'
    for name, series in (("namespace", of_mesh), ("service", within)):
        query = f"label_values({series}, {name})"
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        }
