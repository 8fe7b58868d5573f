"""Who is in the mesh and who is not, against what the marks of namespaces and pods say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, notes
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.injection import (
    injected,
    proxy_origin,
    rules_of,
)
from meshkit.meshes.linkerd.injection import ASKS, INJECT
from meshkit.meshes.view import View, finding

PROXY_UID = 1337


def check(view: View) -> Iterator[Finding]:
    """Marks that contradict, pods without a proxy, proxies that are not ready or of another version."""
    for namespace in view.of("Namespace"):
        yield from _marks(view, namespace)
        if _is_marked(view, namespace):
            yield from _left_out(view, namespace)
    for pod in view.meshed:
        yield from _proxy(view, pod)
    yield from _versions(view)


def _is_marked(view: View, namespace: Object) -> bool:
    if view.mesh == "linkerd":
        return notes(namespace).get(INJECT) in ASKS
    return labels(namespace).get("istio-injection") == "enabled" or "istio.io/rev" in labels(namespace)


def _marks(view: View, namespace: Object) -> Iterator[Finding]:
    has = labels(namespace)
    if view.mesh == "linkerd":
        if INJECT in has:
            message = f"{INJECT} is a label here, and Linkerd reads it as an annotation only."
            yield finding("MK0602", "warning", namespace, message, "Make it an annotation.")
        return
    if "istio-injection" in has and "istio.io/rev" in has:
        message = "istio-injection and istio.io/rev are both set: the first wins, whatever the revision says."
        yield finding("MK0601", "error", namespace, message, "Remove one of the two labels.")
    wanted = has.get("istio.io/rev")
    tags = [labels(one) for one in view.of("MutatingWebhookConfiguration")]
    served = {"default", *(each.get(key) for each in tags for key in ("istio.io/rev", "istio.io/tag"))}
    if wanted and "istio-injection" not in has and wanted not in served:
        message = f"it asks for revision {wanted}, which no webhook serves: its pods get no proxy."
        yield finding("MK0603", "error", namespace, message, "Name a revision or tag that is installed.")


def _left_out(view: View, namespace: Object) -> Iterator[Finding]:
    name = namespace["metadata"]["name"]
    if not view.of("Pod", name):
        return
    for one in injected(view.within(namespace), view.mesh, name):
        if one.will and one.meshed < one.pods:
            message = f"{one.pods - one.meshed} of {one.pods} pods have no proxy; new ones will."
            yield finding("MK0604", "warning", one.workload, message, "Restart it.")
        elif not one.will and one.pods and not one.opted_out:
            message = f"its pods get no proxy though the namespace asks for it: {one.why}."
            yield finding("MK0605", "warning", one.workload, message, "Remove that, or opt out on purpose.")


def _proxy(view: View, pod: Object) -> Iterator[Finding]:
    sidecar = rules_of(view.mesh).sidecar
    status = pod.get("status") or {}
    told = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    if any(each["name"] == sidecar and not each.get("ready") for each in told):
        message = f"its {sidecar} is not ready: the pod takes no traffic."
        yield finding("MK0606", "warning", pod, message, f"Look at the log of container {sidecar}.")
    for container in pod["spec"].get("containers", ()):
        user = (container.get("securityContext") or {}).get("runAsUser")
        if view.mesh == "istio" and container["name"] != sidecar and user == PROXY_UID:
            message = f"container {container['name']} runs as user 1337, whose traffic passes by the proxy."
            yield finding("MK0607", "error", pod, message, "Run it as another user.")


def _versions(view: View) -> Iterator[Finding]:
    """Proxies of another version than their control plane, which wait for a restart after an upgrade, and
    those whose control plane is gone.
    """
    installed = _installed(view)
    found: Counter[tuple[str, str, str]] = Counter()
    for pod in view.meshed:
        revision, version = proxy_origin(pod, view.mesh)
        if installed and version not in ("", *installed.get(revision, ())):
            found[pod["metadata"]["namespace"], revision, version] += 1
    for (namespace, revision, version), count in sorted(found.items()):
        where = f"Namespace {namespace}"
        if revision in installed:
            now = " or ".join(sorted(installed[revision]))
            message = f"{count} proxies are of version {version}, the control plane is {now}."
            yield finding("MK0608", "warning", where, message, "Restart its workloads.")
        else:
            message = (
                f"{count} proxies obey revision {revision}, which is gone: no new route, no certificate."
            )
            yield finding("MK0609", "error", where, message, "Restart its workloads.")


def _installed(view: View) -> dict[str, set[str]]:
    """Revision -> the versions of its control plane's parts."""
    found: dict[str, set[str]] = {}
    for one in view.components:
        found.setdefault(facts_of(view.mesh).revision_of(one), set()).add(facts_of(view.mesh).version_of(one))
    return found
