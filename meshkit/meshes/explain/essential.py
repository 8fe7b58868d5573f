"""The requests without an identity that a pod must get, from the objects that ask for them.

They are the kubelet's probes and lifecycle hooks, scrapes of the application's metrics, the API server's
calls of admission webhooks, and meshkit's own reading of the sidecar's page. Whether an access rule refuses
one of them is decided by the meaning of the mesh's objects, as for every other request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshkit.facts import Object
from meshkit.kube.kinds import WEBHOOK_KINDS
from meshkit.kube.metadata import annotations_of
from meshkit.kube.pods import all_containers, is_live
from meshkit.meshes.base import Mesh
from meshkit.meshes.explain.explainer import Explainer, name_of
from meshkit.meshes.model.pods import port_numbers, target_port
from meshkit.meshes.model.requests import NotKnown, Request, Sender, decide

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True)
class Essential:
    """A request without an identity that a server must get: what it is for, and where it goes."""

    what: str
    server: str
    port: int
    path: str = "/"
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.what} ({self.method} {self.path} on port {self.port} of {self.server})"


def cut(before: Explainer, after: Explainer, row: Mesh, namespace: str) -> Iterator[tuple[Essential, str]]:
    """Yield the essential requests to pods of a namespace that pass now and will not, and why.

    A request of which that is not known counts as one that does not pass.
    """
    found: dict[Essential, str] = {}
    for pod in before.effective.registry.of("pods", namespace):
        if not is_live(pod):
            continue
        for each in essential(pod, before, row):
            if not _refusal(before, pod, each) and (why := _refusal(after, pod, each)):
                found[each] = why
    yield from found.items()


def essential(pod: Object, explainer: Explainer, row: Mesh) -> Iterator[Essential]:
    """The essential requests of a pod."""
    server = name_of(pod)
    table = row.metrics
    yield Essential("the page of the sidecar's counters", server, table.port, table.path)
    if not row.agent_probes(pod):
        yield from _probes(pod, server)
    yield from _scrapes(pod, server, explainer)
    yield from _webhooks(pod, server, explainer)


def _refusal(explainer: Explainer, pod: Object, asked: Essential) -> str:
    """Why a server's proxy refuses a request, or empty."""
    inbound = explainer.servers.inbound(pod, asked.port)
    if inbound is None:
        return ""
    if inbound.mode == "strict":
        return "the port takes mutual TLS only"
    node = str((pod.get("status") or {}).get("hostIP") or "")
    try:
        request = Request("", asked.port, asked.method, asked.path)
        decision = decide(inbound, request, Sender(None, node))
    except NotKnown as problem:
        return f"not known: {problem}"
    return "" if decision.allowed else "no rule lets in a caller without an identity"


def _probes(pod: Object, server: str) -> Iterator[Essential]:
    for container in all_containers(pod):
        handlers = {**(container.get("lifecycle") or {}), **{name: container.get(name) for name in _PROBES}}
        for name, handler in handlers.items():
            asked = (handler or {}).get("httpGet") or (handler or {}).get("grpc")
            if not asked:
                continue
            path = str(asked.get("path") or "/").partition("?")[0]
            for port in sorted(port_numbers(pod, asked["port"])):
                yield Essential(f"{name} of {container['name']}", server, port, path)


def _scrapes(pod: Object, server: str, explainer: Explainer) -> Iterator[Essential]:
    services = explainer.effective.registry.of("services", pod["metadata"]["namespace"])
    selecting = (each for each in services if pod in explainer.effective.registry.pods_of(each))
    for item in (pod, *selecting):
        marks = annotations_of(item)
        port = marks.get("prometheus.io/port", "")
        if marks.get("prometheus.io/scrape") == "true" and port.isdigit():
            yield Essential(
                "scrape of metrics", server, int(port), marks.get("prometheus.io/path", "/metrics")
            )


def _webhooks(pod: Object, server: str, explainer: Explainer) -> Iterator[Essential]:
    for config in _configurations(explainer):
        for hook in config.get("webhooks") or ():
            asked = (hook.get("clientConfig") or {}).get("service") or {}
            service = explainer.effective.registry.find(
                "services", str(asked.get("namespace")), str(asked.get("name"))
            )
            if service is None or pod not in explainer.effective.registry.pods_of(service):
                continue
            for port in service["spec"].get("ports") or ():
                number = target_port(pod, port)
                if number and int(port["port"]) == int(asked.get("port") or 443):
                    path = str(asked.get("path") or "/").partition("?")[0]
                    yield Essential(f"webhook {hook['name']}", server, number, path, "POST")


def _configurations(explainer: Explainer) -> Iterable[Object]:
    return (item for kind in WEBHOOK_KINDS for item in explainer.effective.snapshot.of(kind.kind))
