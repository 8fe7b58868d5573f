"""Linkerd's policies: Servers, who may use them, limits of their rate, and networks outside the cluster."""

from __future__ import annotations

from typing import Any

from meshkit.meshes.linkerd.schemas.blocks import (
    BOOLEAN,
    GROUP,
    LABEL,
    NAME,
    NAMESPACE,
    Schema,
    array,
    condition,
    group,
    kind,
    mapping,
    networks,
    one_of,
    reference,
    selector,
    text,
)

_IDENTITY = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LONG: Schema = {"type": "integer", "format": "int64"}


def early_server(*, has_strict_selector: bool) -> Schema:
    """A Server of v1alpha1, whose selector has labels or expressions, or of v1beta1; it selects pods."""
    pods = selector()
    if has_strict_selector:
        pods["oneOf"] = _either("matchExpressions", "matchLabels")
    return mapping(("podSelector", "port"), podSelector=pods, **_of_every_server())


def server(*, has_access_policy: bool) -> Schema:
    """A Server of v1beta2, or of v1beta3 with an access policy."""
    more = {"accessPolicy": text(default="deny")} if has_access_policy else {}
    selectors = {"podSelector": selector(), "externalWorkloadSelector": selector()}
    either = _either("podSelector", "externalWorkloadSelector")
    return {**mapping(("port",), **selectors, **_of_every_server(), **more), "oneOf": either}


def _of_every_server() -> dict[str, Schema]:
    return {"port": {"x-kubernetes-int-or-string": True}, "proxyProtocol": text(default="unknown")}


def _either(*fields: str) -> list[dict[str, Any]]:
    return [{"required": [field]} for field in fields]


def server_authorization() -> Schema:
    """Who may use Servers, by name or by label: the kind before AuthorizationPolicy."""
    account = mapping(("name",), name=text(pattern=LABEL), namespace=text(pattern=LABEL))
    mesh_tls = mapping(
        unauthenticatedTLS=BOOLEAN,
        identities=array(text(pattern=_IDENTITY)),
        serviceAccounts=array(account),
    )
    of_server = mapping(name=text(pattern=LABEL), selector=selector())
    return mapping(
        ("server", "client"),
        server={**of_server, "oneOf": _either("name", "selector")},
        client=mapping(networks=networks(), unauthenticated=BOOLEAN, meshTLS=mesh_tls),
    )


def authorization_policy() -> Schema:
    """Who may use a target."""
    return mapping(
        ("targetRef", "requiredAuthenticationRefs"),
        targetRef=reference("kind", "name"),
        requiredAuthenticationRefs=array(reference("kind", "name", namespace=text(253))),
    )


def mesh_tls_authentication() -> Schema:
    """Identities by name or by reference."""
    names, references = array(text(), minItems=1), array(reference("kind", namespace=text(253)), minItems=1)
    either = _either("identities", "identityRefs")
    return {**mapping(identities=names, identityRefs=references), "oneOf": either}


def network_authentication() -> Schema:
    """Networks of callers."""
    return mapping(("networks",), networks=networks())


def egress_network() -> Schema:
    """Networks outside the cluster, all or these."""
    return mapping(("trafficPolicy",), trafficPolicy=one_of("Allow", "Deny"), networks=networks())


def rate_limit() -> Schema:
    """How many requests a second a Server takes in all, from each caller, and from some callers."""
    limit = mapping(("requestsPerSecond",), requestsPerSecond=_LONG)
    override = mapping(
        ("requestsPerSecond", "clientRefs"),
        requestsPerSecond=_LONG,
        clientRefs=array(reference("kind", "name", namespace=NAMESPACE)),
    )
    return mapping(
        ("targetRef",),
        targetRef=reference("kind", "name"),
        total=limit,
        identity=limit,
        overrides=array(override),
    )


def conditions() -> Schema:
    """A status that is conditions."""
    return mapping(conditions=array(condition()))


def rate_limit_status() -> Schema:
    """The status of a limit: conditions, and the Server that it holds for."""
    target = mapping(("name",), group=group(GROUP), kind=kind("Server"), name=NAME)
    return mapping(("targetRef",), conditions=array(condition()), targetRef=target)
