"""Pods for tests of what Istio's objects mean."""

from __future__ import annotations

POD = {
    "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web", "version": "v1"}},
    "spec": {
        "serviceAccountName": "web",
        "containers": [{"name": "app", "ports": [{"containerPort": 8080}]}, {"name": "istio-proxy"}],
    },
    "status": {"podIP": "127.9.0.1"},
}
