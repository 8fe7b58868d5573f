"""An installation of Linkerd: its validators, chart values and extensions, and nodes that cannot run it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.meshes.linkerd.checks.chart_values import CONFIG_MAP, chart_values
from meshkit.meshes.view import View

_VALIDATORS = ("linkerd-sp-validator", "linkerd-policy-validator")
_CREATED_BY, _EXTENSION = "linkerd.io/created-by", "linkerd.io/extension"


def check(view: View) -> Iterator[Finding]:
    """Parts of an installation that are missing or there twice."""
    yield from _validators(view)
    yield from _values(view)
    yield from _extensions(view)


def check_nodes(view: View) -> Iterator[Finding]:
    """Nodes with Docker, whose init container must run as root."""
    values = chart_values(view)
    if not values or (values.get("proxyInit") or {}).get("runAsRoot"):
        return
    for node in view.of("Node"):
        info = (node.get("status") or {}).get("nodeInfo") or {}
        if str(info.get("containerRuntimeVersion", "")).startswith("docker:"):
            message = "it runs Docker, where linkerd-init can set its rules only as root."
            yield codes.finding(codes.DOCKER_NEEDS_ROOT, title(node), message)


def _validators(view: View) -> Iterator[Finding]:
    called = {hook["clientConfig"]["service"]["name"] for hook in view.validators}
    for name in _VALIDATORS:
        service = view.named("Service", name)
        if service is not None and name not in called:
            message = "no ValidatingWebhookConfiguration calls it: invalid policies are accepted."
            yield codes.finding(codes.VALIDATOR_NOT_CALLED, title(service), message)


def _values(view: View) -> Iterator[Finding]:
    by_charts = [component for component in view.components if _CREATED_BY in annotations_of(component)]
    if by_charts and not chart_values(view):
        where = f"ConfigMap {view.home}/{CONFIG_MAP}"
        message = f"it holds no values of the charts that installed {title(by_charts[0])}."
        yield codes.finding(codes.CHART_VALUES_MISSING, where, message)


def _extensions(view: View) -> Iterator[Finding]:
    namespaces: dict[str, list[str]] = defaultdict(list)
    for namespace in view.of("Namespace"):
        if _EXTENSION in labels(namespace):
            namespaces[labels(namespace)[_EXTENSION]].append(namespace["metadata"]["name"])
    for extension, names in namespaces.items():
        if len(names) > 1:
            message = f"namespaces {' and '.join(sorted(names))} all claim to be extension {extension}."
            yield codes.finding(codes.EXTENSION_TWICE, f"Namespace {names[0]}", message)
