"""Checks that pods have the sidecars that their namespace asks for, in the version of the control plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.injection import injected, proxy_origin, rules_of
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find pods without a sidecar, and sidecars that are not ready or have another version."""
    for namespace in view.of("Namespace"):
        if rules_of(view.mesh).request(namespace):
            yield from _left_out(view, namespace)
    for pod in view.meshed:
        yield from _readiness(view, pod)
    yield from _versions(view)


def _left_out(view: View, namespace: Object) -> Iterator[Finding]:
    name = namespace["metadata"]["name"]
    if not view.of("Pod", name):
        return
    for workload in injected(view.within(namespace), view.mesh, name):
        if workload.will and workload.outside:
            message = f"{workload.outside} of {workload.pods} pods have no sidecar; new pods get one."
            yield codes.finding(codes.POD_WITHOUT_PROXY, workload.workload, message)
        elif not workload.will and workload.pods and not (workload.opted_out or workload.needs_none):
            message = f"its pods get no sidecar although the namespace asks for it: {workload.why}."
            yield codes.finding(codes.INJECTION_PREVENTED, workload.workload, message)


def _readiness(view: View, pod: Object) -> Iterator[Finding]:
    sidecar = rules_of(view.mesh).sidecar
    status = pod.get("status") or {}
    statuses = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    if any(container["name"] == sidecar and not container.get("ready") for container in statuses):
        message = f"its container {sidecar} is not ready: the pod gets no traffic."
        remedy = f"Look at the log of container {sidecar}."
        yield codes.finding(codes.PROXY_NOT_READY, title(pod), message, remedy)


def _versions(view: View) -> Iterator[Finding]:
    """Find sidecars whose version differs from their control plane's, or whose control plane is gone."""
    installed = _installed(view)
    differing: Counter[tuple[str, str, str]] = Counter()
    for pod in view.meshed:
        revision, version = proxy_origin(pod, view.mesh)
        if installed and version not in ("", *installed.get(revision, ())):
            differing[pod["metadata"]["namespace"], revision, version] += 1
    for (namespace, revision, version), count in sorted(differing.items()):
        where = f"Namespace {namespace}"
        if revision in installed:
            current = " or ".join(sorted(installed[revision]))
            message = f"{count} sidecars have version {version}, their control plane has {current}."
            yield codes.finding(codes.PROXY_VERSION_DIFFERS, where, message)
        else:
            message = f"{count} sidecars belong to revision {revision}, whose control plane is gone."
            yield codes.finding(codes.PROXY_OF_GONE_REVISION, where, message)


def _installed(view: View) -> dict[str, set[str]]:
    """Revision -> the versions of its control plane's components."""
    versions: dict[str, set[str]] = {}
    for component in view.components:
        versions.setdefault(facts_of(view.mesh).revision_of(component), set()).add(
            facts_of(view.mesh).version_of(component)
        )
    return versions
