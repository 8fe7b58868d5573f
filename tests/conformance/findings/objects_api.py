"""A read-only Kubernetes API on loopback that serves given objects, for programs that read a cluster.

It answers discovery, lists and watches without events. Nothing is validated, so that objects with mistakes
can be served which an API server refuses.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

Object = Mapping[str, Any]
RESOURCES: Mapping[str, Sequence[str]] = {
    "v1": ("Namespace", "Pod", "Service", "ConfigMap", "Secret", "Node", "Endpoints", "ServiceAccount"),
    "apps/v1": ("Deployment", "DaemonSet", "StatefulSet"),
    "apiextensions.k8s.io/v1": ("CustomResourceDefinition",),
    "admissionregistration.k8s.io/v1": ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    "discovery.k8s.io/v1": ("EndpointSlice",),
    "networking.k8s.io/v1": ("Ingress", "IngressClass"),
}
_CLUSTER_SCOPED = {"Namespace", "Node", "CustomResourceDefinition", "IngressClass", "GatewayClass"}


def plural(kind: str) -> str:
    """The name of a kind's resource: ``policies`` for ``Policy``."""
    name = kind.lower()
    if name.endswith("y") and not name.endswith("ay"):
        return name[:-1] + "ies"
    return name if name == "endpoints" else name + ("es" if name.endswith("ss") else "s")


class Api:
    """The objects that are served at present, by the path of their list."""

    def __init__(self, definitions: Sequence[Object]) -> None:
        self._definitions = definitions
        self._kinds = {version: dict.fromkeys(kinds) for version, kinds in RESOURCES.items()}
        self._plurals: dict[str, str] = {}
        for definition in definitions:
            spec = definition["spec"]
            for version in spec["versions"]:
                served = self._kinds.setdefault(f"{spec['group']}/{version['name']}", {})
                served[spec["names"]["kind"]] = None
            self._plurals[spec["names"]["kind"]] = spec["names"]["plural"]
        self._objects: Sequence[Object] = ()

    def serve(self, objects: Sequence[Object]) -> None:
        """Serve these objects from now on."""
        self._objects = objects

    def answer(self, path: str) -> Object | None:
        """The answer to a request for discovery or for a list."""
        match path.strip("/").split("/"):
            case ["version"]:
                return {"major": "1", "minor": "35", "gitVersion": "v1.35.0"}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(self._groups())}
            case ["api", version] if version in self._kinds:
                return self._resources(version)
            case ["apis", group, version] if f"{group}/{version}" in self._kinds:
                return self._resources(f"{group}/{version}")
            case ["api", version, name]:
                return self._list(version, name)
            case ["api", "v1", "namespaces", name]:
                return next((o for o in self._objects if _is_namespace(o, name)), None)
            case ["api", "v1", "namespaces", namespace, name]:
                return self._list("v1", name, namespace)
            case ["apis", group, version, "namespaces", namespace, name]:
                return self._list(f"{group}/{version}", name, namespace)
            case ["apis", group, version, name]:
                return self._list(f"{group}/{version}", name)
        return None

    def _groups(self) -> Iterator[Object]:
        names = sorted({version.partition("/")[0] for version in self._kinds if "/" in version})
        for name in names:
            versions = [
                {"groupVersion": each, "version": each.partition("/")[2]}
                for each in self._kinds
                if each.startswith(f"{name}/")
            ]
            yield {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, version: str) -> Object:
        found = [
            {
                "name": self._plurals.get(kind, plural(kind)),
                "singularName": kind.lower(),
                "namespaced": kind not in _CLUSTER_SCOPED and not kind.endswith("Configuration"),
                "kind": kind,
                "verbs": ["get", "list", "watch"],
            }
            for kind in self._kinds[version]
        ]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": found}

    def _list(self, version: str, name: str, namespace: str = "") -> Object | None:
        for kind in self._kinds.get(version, ()):
            if self._plurals.get(kind, plural(kind)) == name:
                group = version.rpartition("/")[0]
                held = self._definitions if kind == "CustomResourceDefinition" else self._objects
                items = [
                    {**each, "apiVersion": version}
                    for each in held
                    if each["kind"] == kind
                    and str(each["apiVersion"]).rpartition("/")[0] == group
                    and namespace in ("", each["metadata"].get("namespace"))
                ]
                meta = {"resourceVersion": "1"}
                return {"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": items}
        return None


def _is_namespace(item: Object, name: str) -> bool:
    return item["kind"] == "Namespace" and item["metadata"]["name"] == name


@contextmanager
def serving(definitions: Sequence[Object], kubeconfig: Path) -> Iterator[Api]:
    """Serve objects until the end; ``kubeconfig`` is written for it."""
    api, ended = Api(definitions), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            del words

        def do_GET(self) -> None:
            url = urlparse(self.path)
            query = parse_qs(url.query)
            if "sendInitialEvents" in query:
                self._send(422, {"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422})
            elif "watch" in query:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Connection", "close")
                self.end_headers()
                ended.wait(60)
                self.close_connection = True
            else:
                answer = api.answer(url.path)
                missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
                self._send(200 if answer else 404, answer or missing)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(201, {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}})

        def _send(self, status: int, answer: Object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    written = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"}
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **written}))
    try:
        yield api
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
