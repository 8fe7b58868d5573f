"""The rights that installing a mesh requires, and the API server's authentication of its extensions."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.cluster.connect import Cluster
from meshkit.cluster.rights import Right, describe, missing
from meshkit.errors import Forbidden
from meshkit.facts import Finding, Kind
from meshkit.meshes import registry

_CREATED = {
    "": "namespaces serviceaccounts services configmaps secrets",
    "apps": "deployments",
    "rbac.authorization.k8s.io": "clusterroles clusterrolebindings roles rolebindings",
    "apiextensions.k8s.io": "customresourcedefinitions",
    "admissionregistration.k8s.io": "mutatingwebhookconfigurations validatingwebhookconfigurations",
    "policy": "poddisruptionbudgets",
    "networking.k8s.io": "networkpolicies",
}
"""What an installation creates: the list of ``istioctl x precheck``, Linkerd's Secret, our isolation."""
_AUTHENTICATION, _CLIENT_CA = "extension-apiserver-authentication", "requestheader-client-ca-file"
_SYSTEM = "kube-system"


def missing_rights(cluster: Cluster, mesh: str, home: str) -> Iterator[Finding]:
    """Yield the rights to install ``mesh`` into the namespace ``home`` that this client lacks."""
    row = registry.mesh(mesh)
    asked = [Right("create", group, name) for group, names in _CREATED.items() for name in names.split()]
    asked += [
        Right(each.verb, each.group, each.resource, home if each.at_home else None)
        for each in row.install_rights
    ]
    lacking = missing(cluster.api, asked)
    if lacking:
        yield _forbidden(cluster, describe(lacking))
    if row.aggregated_api:
        yield from _authentication(cluster, row.aggregated_api)


def _forbidden(cluster: Cluster, what: str) -> Finding:
    message = f"{cluster.api.whoami()} may not {what}."
    return codes.finding(codes.RIGHTS_MISSING, f"cluster {cluster.context}", message)


def _authentication(cluster: Cluster, command: str) -> Iterator[Finding]:
    """Check that extension API servers can authenticate the API server, which ``command`` needs.

    A server without aggregated APIs passes.
    """
    if cluster.api.resource(Kind("apiregistration.k8s.io/v1", "APIService")) is None:
        return
    try:
        settings = cluster.api.get(Kind("v1", "ConfigMap"), _AUTHENTICATION, _SYSTEM) or {}
    except Forbidden:
        # Read it instead of reviewing the right: the usual Role names only this ConfigMap.
        yield _forbidden(cluster, f"get configmap {_AUTHENTICATION} in {_SYSTEM}")
        return
    if not (settings.get("data") or {}).get(_CLIENT_CA):
        message = f"it has no {_CLIENT_CA}: '{command}' will refuse all clients."
        where = f"ConfigMap {_SYSTEM}/{_AUTHENTICATION}"
        yield codes.finding(codes.NO_REQUEST_HEADER_CA, where, message)
