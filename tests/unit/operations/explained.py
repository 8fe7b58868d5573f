"""The objects of a small shop on either mesh, as files and as a cluster that refuses some lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml

from meshkit.cluster.connect import Cluster
from meshkit.errors import Forbidden
from meshkit.meshes import registry
from meshkit.meshes.explain.expected import expected

WORKLOADS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec:
  template:
    metadata: {labels: {app: client}}
    spec: {serviceAccountName: client, containers: [{name: app}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: old, namespace: legacy}
spec:
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: app}]}
"""
ISTIO = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - match: [{uri: {prefix: /beta}}]
    route: [{destination: {host: web, subset: v2}}]
  - timeout: 2.5s
    route: [{destination: {host: web, subset: v1}, weight: 90}, {destination: {host: web}, weight: 10}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
LINKERD = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 8080}]
  rules:
  - timeouts: {request: 2.5s}
    backendRefs: [{name: web, port: 8080}, {name: none, port: 8080}]
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, port: 8080}
"""


def write(folder: Path, *texts: str) -> list[str]:
    """Write each text to a file and return the paths."""
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        paths.append(str(path))
    return paths


def objects(mesh: str, *texts: str) -> list[dict[str, Any]]:
    """The objects of texts and the pods of their workloads, as a cluster with a mesh holds them."""
    read = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return [dict(each) for each in expected(read, registry.mesh(mesh)).objects]


class Api:
    """Answers lists from objects; kinds in ``refused`` may be listed in ``own`` only."""

    def __init__(self, held: list[dict[str, Any]], refused: tuple[str, ...] = (), own: str = "") -> None:
        self.held, self.refused, self.own = held, refused, own
        self.requests = 0

    def list(self, kind: Any, namespace: str | None = None, labels: str | None = None) -> list[Any]:
        self.requests += 1
        if kind.kind in self.refused and namespace != self.own:
            raise Forbidden(f"may not list {kind.kind}.", remedy="Ask for the right.", status=403)
        return [
            each
            for each in self.held
            if each["kind"] == kind.kind
            and namespace in (None, each["metadata"].get("namespace"))
            and labels is None
        ]


def cluster(api: Api, mesh: str | None = None) -> Cluster:
    """A cluster behind an ``Api``."""
    return Cluster("prod", "https://prod:6443", cast(Any, api), mesh=mesh)
