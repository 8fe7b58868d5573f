"""What whoever installs a mesh must be allowed to do, and what the API server must tell its extensions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from meshkit.cluster.connect import Cluster
from meshkit.cluster.rights import Right, describe
from meshkit.errors import Forbidden
from meshkit.facts import Finding, Kind

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
    asked = [Right("create", group, name) for group, names in _CREATED.items() for name in names.split()]
    if mesh == "linkerd":
        asked += [
            Right("create", "batch", "cronjobs"),
            Right("get", "", "secrets", home),
        ]
    with ThreadPoolExecutor(_THREADS) as pool:
        allowed = list(pool.map(lambda each: cluster.api.allowed(*each), asked))
    missing = [right for right, ok in zip(asked, allowed, strict=True) if not ok]
    if missing:
        yield _forbidden(cluster, describe(missing))
    if mesh == "linkerd":
        yield from _authentication(cluster)


def _forbidden(cluster: Cluster, what: str) -> Finding:
    message = f"{cluster.api.whoami()} may not {what}."
    remedy = "Ask an administrator of the cluster for these rights."
    return Finding("MK1404", "error", f"cluster {cluster.context}", message, remedy)


def _authentication(cluster: Cluster) -> Iterator[Finding]:
    """Linkerd's tap is an API of its own behind the API server, which must tell it whom to believe.

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
        message = f"it does not tell {_CLIENT_CA}: 'linkerd viz tap' will refuse everybody."
        remedy = f"Start the API server with --{_CLIENT_CA}."
        where = f"ConfigMap {_SYSTEM}/{_AUTHENTICATION}"
        yield Finding("MK1407", "warning", where, message, remedy)
