"""Is the control plane whole? Its definitions, the accounts it runs under and their roles, its validators.

What is missing is found from what is there: an account that a Deployment names, a Service that nobody calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, notes, title
from meshkit.meshes.istio import (
    access as istio_access,
)
from meshkit.meshes.istio import (
    observability as istio_observability,
)
from meshkit.meshes.istio import (
    planner as istio,
)
from meshkit.meshes.linkerd import access as linkerd_access
from meshkit.meshes.view import View, finding

WRITTEN = {
    "istio": (
        istio.VIRTUAL_SERVICE,
        istio.DESTINATION_RULE,
        istio.PEER_AUTHENTICATION,
        istio_access.AUTHORIZATION_POLICY,
        istio_observability.TELEMETRY,
    ),
    "linkerd": (
        linkerd_access.SERVER,
        linkerd_access.AUTHORIZATION_POLICY,
        linkerd_access.MESH_TLS,
        linkerd_access.NETWORK,
    ),
}
"""The mesh's own kinds, in the versions that meshkit writes."""
_VALIDATORS = ("linkerd-sp-validator", "linkerd-policy-validator")
_CREATED_BY, _EXTENSION = "linkerd.io/created-by", "linkerd.io/extension"


def check(view: View) -> Iterator[Finding]:
    """Parts of an installed control plane that are not there."""
    yield from _definitions(view)
    yield from _accounts(view)
    if view.mesh == "linkerd":
        yield from _validators(view)
        yield from _settings(view)
        yield from _extensions(view)


def _definitions(view: View) -> Iterator[Finding]:
    served = {
        (one["spec"]["group"], one["spec"]["names"]["kind"]): (one, _served(one))
        for one in view.of("CustomResourceDefinition")
    }
    for kind in WRITTEN[view.mesh]:
        version = kind.api_version.rpartition("/")[2]
        definition, versions = served.get((kind.group, kind.kind), (None, []))
        remedy = "Install the mesh's definitions again, in its own version."
        if definition is None:
            message = f"there is no definition of {kind.kind} ({kind.group}): the mesh is installed by half."
            yield finding("MK1203", "error", f"mesh {view.mesh}", message, remedy)
        elif version not in versions:
            message = f"it serves {', '.join(versions) or 'no version'}, not {version}, which meshkit writes."
            yield finding("MK1203", "error", definition, message, remedy)


def _served(definition: Object) -> list[str]:
    return [each["name"] for each in definition["spec"]["versions"] if each.get("served")]


def _accounts(view: View) -> Iterator[Finding]:
    """The account of each workload of the control plane, and what it may do."""
    roles = {one["metadata"]["name"] for one in view.of("ClusterRole")}
    bound: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for binding in view.of("ClusterRoleBinding"):
        for subject in binding.get("subjects") or ():
            if subject["kind"] == "ServiceAccount":
                bound[str(subject.get("namespace")), subject["name"]].append(binding)
    for workload, template in _workloads(view):
        name = (template.get("spec") or {}).get("serviceAccountName")
        if not name:
            continue
        if view.named("ServiceAccount", name) is None:
            message = f"its ServiceAccount {view.home}/{name} is not there: no new pod of it can start."
            yield finding("MK1204", "error", workload, message, "Install the control plane again.")
        bindings = bound[view.home, name]
        if not bindings and workload["kind"] == "Deployment":
            message = (
                f"no ClusterRoleBinding gives ServiceAccount {view.home}/{name} a role: it reads nothing."
            )
            yield finding("MK1205", "error", workload, message, "Install the control plane again.")
        for binding in bindings:
            role = binding["roleRef"]
            if role["kind"] == "ClusterRole" and role["name"] not in roles:
                message = f"it gives ClusterRole {role['name']}, which is not there."
                yield finding("MK1205", "error", binding, message, "Install the control plane again.")


def _workloads(view: View) -> Iterator[tuple[Object, Object]]:
    """The workloads of the control plane, each with its pods' template."""
    for component in view.components:
        yield component, component["spec"].get("template") or {}
    for job in view.of("CronJob", view.home):
        yield job, job["spec"]["jobTemplate"]["spec"]["template"]


def _validators(view: View) -> Iterator[Finding]:
    called = {hook["clientConfig"]["service"]["name"] for hook in view.validators}
    for name in _VALIDATORS:
        service = view.named("Service", name)
        if service is not None and name not in called:
            message = "no ValidatingWebhookConfiguration calls it: wrong policies are taken in silence."
            yield finding("MK0506", "warning", service, message, "Install the control plane again.")


def _settings(view: View) -> Iterator[Finding]:
    """The charts note their values in a ConfigMap that the injector reads."""
    by_charts = [one for one in view.components if _CREATED_BY in notes(one)]
    if by_charts and not view.settings:
        where = f"ConfigMap {view.home}/linkerd-config"
        message = f"its values are missing, and the injector of {title(by_charts[0])} reads them."
        yield finding("MK1206", "error", where, message, "Upgrade the release of linkerd-control-plane.")


def _extensions(view: View) -> Iterator[Finding]:
    found: dict[str, list[str]] = defaultdict(list)
    for namespace in view.of("Namespace"):
        if _EXTENSION in labels(namespace):
            found[labels(namespace)[_EXTENSION]].append(namespace["metadata"]["name"])
    for extension, names in found.items():
        if len(names) > 1:
            message = f"extension {extension} is claimed by {' and '.join(sorted(names))}: one may have it."
            remedy = f"Remove the label {_EXTENSION} from all but one."
            yield finding("MK1207", "warning", f"Namespace {names[0]}", message, remedy)
