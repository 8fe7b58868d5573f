"""Checks that a control plane is complete: its CRDs, and the ServiceAccounts and roles of its workloads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.view import View


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find missing objects of an installed control plane."""
    yield from _definitions(view, rules)
    yield from _accounts(view)


def _definitions(view: View, rules: MeshChecks) -> Iterator[Finding]:
    installed = {
        (definition["spec"]["group"], definition["spec"]["names"]["kind"]): definition
        for definition in view.of("CustomResourceDefinition")
    }
    for kind in rules.definitions:
        version = kind.api_version.rpartition("/")[2]
        definition = installed.get((kind.group, kind.kind))
        if definition is None:
            message = f"the definition of {kind.kind} ({kind.group}) is missing."
            yield codes.finding(codes.DEFINITION_MISSING, f"mesh {view.mesh}", message)
            continue
        served = [entry["name"] for entry in definition["spec"]["versions"] if entry.get("served")]
        if version not in served:
            message = f"it serves {', '.join(served) or 'no version'}, and meshkit writes {version}."
            yield codes.finding(codes.DEFINITION_MISSING, title(definition), message)


def _accounts(view: View) -> Iterator[Finding]:
    """Find workloads of the control plane whose ServiceAccount or role is missing."""
    roles = {role["metadata"]["name"] for role in view.of("ClusterRole")}
    bindings_of: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for binding in view.of("ClusterRoleBinding"):
        for subject in binding.get("subjects") or ():
            if subject["kind"] == "ServiceAccount":
                bindings_of[str(subject.get("namespace")), subject["name"]].append(binding)
    for workload, template in _workloads(view):
        name = (template.get("spec") or {}).get("serviceAccountName")
        if not name:
            continue
        if view.named("ServiceAccount", name) is None:
            message = f"its ServiceAccount {view.home}/{name} does not exist: its pods cannot start."
            yield codes.finding(codes.ACCOUNT_MISSING, title(workload), message)
        bindings = bindings_of[view.home, name]
        if not bindings and workload["kind"] == "Deployment":
            message = f"no ClusterRoleBinding gives its ServiceAccount {view.home}/{name} a role."
            yield codes.finding(codes.ROLE_MISSING, title(workload), message)
        for binding in bindings:
            role = binding["roleRef"]
            if role["kind"] == "ClusterRole" and role["name"] not in roles:
                message = f"it gives ClusterRole {role['name']}, which does not exist."
                yield codes.finding(codes.ROLE_MISSING, title(binding), message)


def _workloads(view: View) -> Iterator[tuple[Object, Object]]:
    """The workloads of the control plane, each with its pods' template."""
    for component in view.components:
        yield component, component["spec"].get("template") or {}
    for job in view.of("CronJob", view.home):
        yield job, job["spec"]["jobTemplate"]["spec"]["template"]
