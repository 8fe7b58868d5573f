"""Checks of Istio's annotations: unknown, on the wrong kind of object, with a wrong value, or deprecated."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.kube.quantities import parse
from meshkit.meshes.istio.checks.annotation_table import DEPRECATED, KINDS, SET_BY_ISTIO
from meshkit.meshes.view import View

_INJECT = "sidecar.istio.io/inject"


def check(view: View) -> Iterator[Finding]:
    """Find annotations that Istio does not follow.

    Of pods that a workload has made its template is read, because Istio adds annotations to pods.
    """
    for kind in ("Namespace", "Service", "Deployment", "StatefulSet", "DaemonSet", "Pod"):
        for obj in view.of(kind):
            meta = obj["metadata"]
            if view.home in (meta.get("namespace"), meta["name"]):
                continue
            if kind == "Pod" and meta.get("ownerReferences"):
                continue
            yield from _of(title(obj), kind, annotations_of(obj), labels(obj))
            template = (obj.get("spec") or {}).get("template")
            if isinstance(template, Mapping):
                yield from _of(title(obj), "Pod", annotations_of(template), labels(template))


def _of(
    where: str, kind: str, annotations: Mapping[str, str], carried: Mapping[str, str]
) -> Iterator[Finding]:
    for name, value in annotations.items():
        if not name.partition("/")[0].endswith("istio.io") or name in SET_BY_ISTIO:
            continue
        kinds = KINDS.get(name)
        if kinds is None:
            yield codes.finding(codes.UNKNOWN_ANNOTATION, where, f"Istio has no annotation {name}.")
            continue
        if name in DEPRECATED and not (name == _INJECT and _INJECT in carried):
            instead = f": use the label {_INJECT}" if name == _INJECT else ""
            message = f"the annotation {name} is deprecated{instead}."
            yield codes.finding(codes.ANNOTATION_DEPRECATED, where, message)
        if not kinds & {"Any", kind}:
            message = f"Istio reads {name} on {' and '.join(sorted(kinds))}, not on {kind}."
            yield codes.finding(codes.ANNOTATION_MISPLACED, where, message)
        elif name in _VALUES and not _VALUES[name](value):
            message = f"{name} cannot be {value!r}."
            yield codes.finding(codes.ANNOTATION_INVALID, where, message)


def _number(text: str) -> bool:
    return text.isdigit() and int(text) < 2**32


def _ports(text: str) -> bool:
    return all(part.strip().isdigit() and int(part) < 65536 for part in text.split(",") if part.strip())


def _ports_or_all(text: str) -> bool:
    return text == "*" or _ports(text)


def _ranges(text: str) -> bool:
    try:
        for part in text.split(","):
            ipaddress.ip_network(part.strip(), strict=False)
    except ValueError:
        return text in ("", "*")
    return True


def _boolean(text: str) -> bool:
    return text in ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")


def _quantity(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _interception(text: str) -> bool:
    return text in ("REDIRECT", "TPROXY", "NONE")


_VALUES: Mapping[str, Callable[[str], bool]] = {
    "sidecar.istio.io/interceptionMode": _interception,
    "status.sidecar.istio.io/port": _ports,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _number,
    "readiness.status.sidecar.istio.io/periodSeconds": _number,
    "readiness.status.sidecar.istio.io/failureThreshold": _number,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _ranges,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _ranges,
    "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
    "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _boolean,
    **{f"sidecar.istio.io/{name}": _quantity for name in ("proxyCPU", "proxyMemory", "proxyCPULimit")},
    "sidecar.istio.io/proxyMemoryLimit": _quantity,
}
"""Annotation -> whether a value is valid, as the injector decides it."""
