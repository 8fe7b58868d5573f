"""The CustomResourceDefinitions of Linkerd's kinds, in every version that Linkerd publishes.

Written by hand from the published field lists of Linkerd edge-26.8 (no Go module of Linkerd is in a registry,
so there is nothing to generate from), with facts only and none of its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from meshkit.meshes.linkerd.schemas import discovery, policies, routes
from meshkit.meshes.linkerd.schemas.blocks import GROUP, Schema, mapping, text

_AGE = ("Age", "date", ".metadata.creationTimestamp")
_HOSTNAMES = ("Hostnames", "string", ".spec.hostnames")
_PORT = ("Port", "string", ".spec.port")
_PROTOCOL = ("Protocol", "string", ".spec.proxyProtocol")
_ACCESS_POLICY = ("Access Policy", "string", ".spec.accessPolicy")
_LIMITS = (
    ("Target_kind", "string", ".spec.targetRef.kind"),
    ("Target_name", "string", ".spec.targetRef.name"),
    ("Total_RPS", "integer", ".spec.total.requestsPerSecond"),
    ("Identity_RPS", "integer", ".spec.identity.requestsPerSecond"),
)
Column = tuple[str, str, str]
"""The heading, type and path of a column that kubectl prints."""


@dataclass(frozen=True)
class _Version:
    """One version of a kind. ``instead`` is the version that its deprecation names."""

    name: str
    spec: Schema
    columns: tuple[Column, ...] = ()
    status: Schema | None = None
    has_subresource: bool = False
    needs_spec: bool = True
    instead: str = ""


@dataclass(frozen=True)
class _Names:
    """What a kind is called."""

    kind: str
    plural: str
    short: Sequence[str] = ()
    categories: Sequence[str] = ()
    group: str = GROUP
    versions: tuple[_Version, ...] = field(default=())


def definitions() -> tuple[Schema, ...]:
    """The definitions, in the order of their names."""
    found = (_definition(names) for names in (*_policies(), *_discovery()))
    return tuple(sorted(found, key=lambda each: str(each["metadata"]["name"])))


def _policies() -> tuple[_Names, ...]:
    return (
        _Names(
            *("AuthorizationPolicy", "authorizationpolicies", ["authzpolicy"]),
            versions=(_Version("v1alpha1", policies.authorization_policy()),),
        ),
        _Names(
            *("EgressNetwork", "egressnetworks", (), ["policy"]),
            versions=(_Version("v1alpha1", policies.egress_network(), (), policies.conditions(), True),),
        ),
        _Names(
            *("HTTPLocalRateLimitPolicy", "httplocalratelimitpolicies"),
            versions=(
                _Version("v1alpha1", policies.rate_limit(), _LIMITS, policies.rate_limit_status(), True),
            ),
        ),
        _Names("HTTPRoute", "httproutes", versions=_routes()),
        _Names(
            *("MeshTLSAuthentication", "meshtlsauthentications", ["meshtlsauthn"]),
            versions=(_Version("v1alpha1", policies.mesh_tls_authentication()),),
        ),
        _Names(
            *("NetworkAuthentication", "networkauthentications", ["netauthn", "networkauthn"]),
            versions=(_Version("v1alpha1", policies.network_authentication()),),
        ),
        _Names("Server", "servers", ["srv"], versions=_servers()),
        _Names(
            *("ServerAuthorization", "serverauthorizations", ["saz", "serverauthz", "srvauthz"]),
            versions=(
                _Version("v1alpha1", policies.server_authorization(), instead="v1beta1"),
                _Version(
                    *(
                        "v1beta1",
                        policies.server_authorization(),
                        (("Server", "string", ".spec.server.name"),),
                    )
                ),
            ),
        ),
    )


def _discovery() -> tuple[_Names, ...]:
    profiles = (
        _Version("v1alpha1", discovery.service_profile(needs_routes=True), needs_spec=False),
        _Version("v1alpha2", discovery.service_profile(needs_routes=False), needs_spec=False),
    )
    return (
        _Names(
            *("ExternalWorkload", "externalworkloads", (), ["external"], "workload.linkerd.io"),
            versions=(_workload("v1alpha1", "meshTls", 1, False), _workload("v1beta1", "meshTLS", 2, True)),
        ),
        _Names("ServiceProfile", "serviceprofiles", ["sp"], group="linkerd.io", versions=profiles),
    )


def _routes() -> tuple[_Version, ...]:
    specs = {
        "v1alpha1": routes.spec(early=True),
        "v1beta1": routes.spec(early=True),
        "v1beta2": routes.spec(),
        "v1beta3": routes.spec(has_timeouts=True),
    }
    return tuple(_Version(n, s, (_HOSTNAMES, _AGE), routes.status(), True) for n, s in specs.items())


def _servers() -> tuple[_Version, ...]:
    """From v1beta1 on columns are printed, from v1beta3 on with the access policy."""
    strict, loose = (policies.early_server(has_strict_selector=each) for each in (True, False))
    columns = (_PORT, _PROTOCOL)
    return (
        _Version("v1alpha1", strict, instead="v1beta1"),
        _Version("v1beta1", loose, columns, instead="v1beta3"),
        _Version("v1beta2", policies.server(has_access_policy=False), columns),
        _Version("v1beta3", policies.server(has_access_policy=True), (*columns, _ACCESS_POLICY)),
    )


def _workload(version: str, identity: str, most_addresses: int, has_subresource: bool) -> _Version:
    spec, status = discovery.external_workload(identity, most_addresses), discovery.external_workload_status()
    columns = (("Identity", "string", f".spec.{identity}.identity"), _AGE)
    return _Version(version, spec, columns, status, has_subresource)


def _definition(names: _Names) -> Schema:
    """A definition that serves all versions and stores the last."""
    kind, last = names.kind, names.versions[-1]
    called: Schema = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": names.plural,
        "singular": kind.lower(),
    }
    if names.short:
        called["shortNames"] = list(names.short)
    if names.categories:
        called["categories"] = list(names.categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{names.group}"},
        "spec": {
            "group": names.group,
            "names": called,
            "scope": "Namespaced",
            "versions": [_version(names, each, is_stored=each is last) for each in names.versions],
        },
    }


def _version(names: _Names, version: _Version, *, is_stored: bool) -> Schema:
    status = {"status": version.status} if version.status else {}
    whole = mapping(
        ("spec",) if version.needs_spec else (),
        apiVersion=text(),
        kind=text(),
        metadata={"type": "object"},
        spec=version.spec,
        **status,
    )
    served: Schema = {"name": version.name, "served": True, "storage": is_stored}
    if version.has_subresource:
        served["subresources"] = {"status": {}}
    if version.columns:
        served["additionalPrinterColumns"] = [_column(*column) for column in version.columns]
    if version.instead:
        old, new = f"{names.group}/{version.name}", f"{names.group}/{version.instead}"
        warning = f"{old} {names.kind} is deprecated; use {new} {names.kind}"
        served.update(deprecated=True, deprecationWarning=warning)
    return {**served, "schema": {"openAPIV3Schema": whole}}


def _column(heading: str, kind: str, path: str) -> dict[str, Any]:
    column = {"name": heading, "type": kind, "jsonPath": path}
    return {**column, "format": "int32"} if kind == "integer" else column
