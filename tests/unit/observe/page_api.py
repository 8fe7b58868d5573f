"""Pods with Istio's sidecars, and an API that answers for their metrics pages."""

from __future__ import annotations

from typing import Any

from meshkit.errors import ClusterError


class PageApi:
    """Pods, and what their metrics pages answer."""

    def __init__(self, pods: list[dict[str, Any]], pages: dict[str, str]) -> None:
        self._pods, self._pages = pods, pages

    def list(self, *_: Any) -> list[dict[str, Any]]:
        return self._pods

    def pod_get(self, namespace: str, pod: str, port: int, path: str, *, timeout_s: float) -> str:
        assert (namespace, port, path) == ("shop", 15020, "/stats/prometheus")
        if pod not in self._pages:
            raise ClusterError("no answer", remedy="", status=503)
        return self._pages[pod]


def pod(name: str, *, sidecar: bool = True, restarts: int = 0) -> dict[str, Any]:
    found = [{"name": "istio-proxy", "restartCount": restarts, "state": {"running": {}}}] if sidecar else []
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"},
        "status": {"containerStatuses": [{"name": "app", "state": {"running": {}}}, *found]},
    }
