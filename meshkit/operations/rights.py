"""The rights that installing a mesh takes, and what the API server must tell its extensions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from meshkit import codes
from meshkit.cluster.connect import Cluster
from meshkit.cluster.rights import Right, describe
from meshkit.errors import Forbidden
from meshkit.facts import Finding, Kind
from meshkit.meshes import registry

_THREADS = 8
_CREATED = {
    "": "namespaces serviceaccounts services configmaps secrets",
    "apps": "deployments",
    "rbac.authorization.k8s.io": "clusterroles clusterrolebindings roles rolebindings",
    "apiextensions.k8s.io": "customresourcedefinitions",
    "admissionregistration.k8s.io": "mutatingwebhookconfigurations validatingwebhookconfigurations",
    "policy": "poddisruptionbudgets",
    "networking.k8s.io": "networkpolicies",
}
"""What installing a control plane makes: ``istioctl x precheck``'s list, Linkerd's Secret, our isolation."""
_AUTHENTICATION, _CLIENT_CA = "extension-apiserver-authentication", "requestheader-client-ca-file"
_SYSTEM = "kube-system"


def missing_rights(cluster: Cluster, mesh: str, home: str) -> Iterator[Finding]:
    """The rights to install ``mesh`` into the namespace ``home`` that this client has not."""
    row = registry.mesh(mesh)
    asked = [Right("create", group, name) for group, names in _CREATED.items() for name in names.split()]
    asked += [
        Right(each.verb, each.group, each.resource, home if each.at_home else None)
        for each in row.install_rights
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        allowed = list(pool.map(lambda each: cluster.api.allowed(*each), asked))
    missing = [right for right, ok in zip(asked, allowed, strict=True) if not ok]
    if missing:
        yield _forbidden(cluster, describe(missing))
    if row.aggregated_api:
        yield from _authentication(cluster, row.aggregated_api)


def _forbidden(cluster: Cluster, what: str) -> Finding:
    message = f"{cluster.api.whoami()} may not {what}."
    return codes.finding(codes.RIGHTS_MISSING, f"cluster {cluster.context}", message)


def _authentication(cluster: Cluster, command: str) -> Iterator[Finding]:
    """A mesh's own API behind the API server must learn from it whom to believe, or ``command`` fails.

    A server that takes no such APIs has nothing to tell.
    """
    if cluster.api.resource(Kind("apiregistration.k8s.io/v1", "APIService")) is None:
        return
    try:
        found = cluster.api.get(Kind("v1", "ConfigMap"), _AUTHENTICATION, _SYSTEM) or {}
    except Forbidden:
        # Read instead of asked for: the usual role for it names this one ConfigMap.
        yield _forbidden(cluster, f"get configmap {_AUTHENTICATION} in {_SYSTEM}")
        return
    if not (found.get("data") or {}).get(_CLIENT_CA):
        message = f"it does not tell {_CLIENT_CA}: '{command}' will refuse everybody."
        where = f"ConfigMap {_SYSTEM}/{_AUTHENTICATION}"
        yield codes.finding(codes.NO_REQUEST_HEADER_CA, where, message)
