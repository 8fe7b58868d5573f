"""The protocol of a port in Linkerd: opaque ports are TCP, all others HTTP.

The caller's proxy goes by the Service: a port is TCP if it is among the opaque ports, as the destination
controller tells, or if its ``appProtocol`` is not HTTP, as the policy controller tells. The server's proxy
goes by the Server of the port, else by the opaque ports of its pod, which the injector copies from the
namespace. Linkerd detects the protocol of other ports; the sandbox reads HTTP there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.kube.metadata import annotations_of
from meshkit.meshes.model.outbound import Object, PortProtocol
from meshkit.meshes.model.pods import port_numbers

OPAQUE = "config.linkerd.io/opaque-ports"
"""The annotation of Services, pods and namespaces with the opaque ports; it replaces the default."""
BY_DEFAULT = "25,587,3306,4444,5432,6379,9300,11211"
"""The chart's value proxy.opaquePorts, which holds where nothing is annotated."""
_HTTP = ("http", "kubernetes.io/h2c")


def app_protocol(port: Mapping[str, Any]) -> str:
    """The appProtocol of a Service port, which Linkerd compares without regard to case."""
    return str(port.get("appProtocol") or "").lower()


def of_service(service: Object, port: Mapping[str, Any]) -> PortProtocol:
    """How callers' proxies read a port of a Service."""
    if is_opaque(service, int(port["port"])):
        return "tcp"
    return "http" if app_protocol(port) in ("", *_HTTP) else "tcp"


def of_pod(pod: Object, port: int) -> PortProtocol:
    """How a pod's proxy reads a port that has no Server."""
    return "tcp" if is_opaque(pod, port) else "http"


def of_server(server: Object) -> PortProtocol:
    """How proxies read the ports of a Server; TLS of the application is not read either."""
    return "tcp" if server["spec"].get("proxyProtocol", "unknown") in ("opaque", "TLS") else "http"


def is_opaque(annotated: Object, number: int, default: str = BY_DEFAULT) -> bool:
    """Whether a Service or pod lists a port as opaque: by numbers, ranges, or names of its ports."""
    written = (annotated["metadata"].get("annotations") or {}).get(OPAQUE, default)
    return any(_lists(part.strip(), annotated, number) for part in written.split(","))


def opaque_ports_of(service: Object, home: Object, default: str = BY_DEFAULT) -> Mapping[str, str]:
    """The opaque ports of a new Service: its namespace's, else the ``default`` ones that it leads to.

    Linkerd's injector compares the default ones as text, so a range does not count.
    """
    if OPAQUE in annotations_of(service):
        return {}
    written = annotations_of(home).get(OPAQUE)
    if written is not None:
        return {OPAQUE: written}
    listed = default.split(",")
    ports = [
        str(port["port"])
        for port in (service.get("spec") or {}).get("ports") or ()
        if str(port.get("targetPort") or port["port"]) in listed
    ]
    return {OPAQUE: ",".join(ports)} if ports else {}


def _lists(part: str, annotated: Object, number: int) -> bool:
    low, _, high = part.partition("-")
    if low.isdigit() and (high or low).isdigit():
        return int(low) <= number <= int(high or low)
    if not part:
        return False
    of_service = annotated["spec"].get("ports") or ()
    named = {int(port["port"]) for port in of_service if port.get("name") == part}
    return number in named | port_numbers(annotated, part)
