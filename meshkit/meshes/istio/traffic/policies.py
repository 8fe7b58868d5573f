"""Plan the DestinationRule of a DestinationPolicy.

For a Service it is the one that Routes write to, and where versions have Services of their own, as with
Gateway API, also those of these. For a host outside it has the name of the host. A policy for some callers
has a rule of its own, since Istio takes a rule that selects callers in place of all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.destination import DestinationPolicy
from meshkit.kube import manifests
from meshkit.kube.kinds import POD, SERVICE
from meshkit.kube.metadata import labels, title
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.versions import VERSION_OF
from meshkit.meshes.istio.meaning.hosts import read_as
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.istio.traffic import settings
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE, Settings
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.ownership import deletion_step, is_ours
from meshkit.meshes.routing.capabilities import refuse

SERVICE_ENTRY = Kind("networking.istio.io/v1", "ServiceEntry")
LIMITS = settings.LIMITS
"""The fields of a DestinationPolicy that Istio cannot carry out, each with what it can do instead."""
_MANAGER = "meshkit-destination-policy"
"""The field manager of a policy in a DestinationRule of others."""
_DIGEST_LENGTH = 6


def needs(policy: DestinationPolicy) -> tuple[Need, ...]:
    """The objects that ``plan`` and the checks read."""
    own = (Need(kind, policy.namespace) for kind in (SERVICE, POD, DESTINATION_RULE))
    return (*own, Need(SERVICE_ENTRY, within=(policy.namespace,), optional=True))


def plan(policy: DestinationPolicy, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that write the DestinationRules of a policy, and delete one that would say nothing.

    Raises ``BadInput`` for a field that a Route sets otherwise, and for TLS within TLS.
    """
    refuse(policy, "Istio", LIMITS)
    _refuse_second_tls(policy, snapshot)
    return tuple(step for host in _hosts(policy, snapshot) for step in _steps(policy, host, snapshot))


def entries(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[Object]:
    """The ServiceEntries that have the host of a policy."""
    for entry in snapshot.of(SERVICE_ENTRY.kind):
        hosts = [str(host).lower() for host in (entry.get("spec") or {}).get("hosts") or ()]
        if any(covers(host, policy.host) for host in hosts):
            yield entry


def _hosts(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[str]:
    """The host of a policy, and the Services that Routes made for its versions."""
    yield policy.host
    for service in snapshot.of(SERVICE.kind, policy.namespace):
        if policy.service and labels(service).get(VERSION_OF) == policy.service:
            yield str(service["metadata"]["name"])


def _steps(policy: DestinationPolicy, host: str, snapshot: Snapshot) -> Iterator[Step]:
    name = rule_name(host, policy.callers)
    present = snapshot.find(DESTINATION_RULE.kind, name, policy.namespace)
    if present is not None and present["metadata"].get("managedFields") and not is_ours(present):
        yield _part(policy, present)
        return
    spec: dict[str, Any] = {"host": host}
    if policy.callers:
        spec["workloadSelector"] = {"matchLabels": dict(policy.callers)}
    if subsets := ((present or {}).get("spec") or {}).get("subsets"):
        spec["subsets"] = subsets
    wanted = Settings.of(present).with_policy(policy)
    if written := wanted.traffic_policy():
        spec["trafficPolicy"] = written
    elif present is None:
        return
    elif not subsets:
        yield deletion_step(present)
        return
    notes = wanted.annotations()
    yield Step(manifests.obj(DESTINATION_RULE, name, policy.namespace, annotations=notes, spec=spec))


def _part(policy: DestinationPolicy, present: Object) -> Step:
    """The step that writes only what a policy asks for to a DestinationRule that meshkit did not make."""
    meta, written = present["metadata"], present["spec"]["host"]
    same = full_host(str(written).lower(), policy.namespace) == full_host(policy.host, policy.namespace)
    wanted = Settings().with_policy(policy)
    part = manifests.obj(
        DESTINATION_RULE,
        meta["name"],
        policy.namespace,
        spec={"host": written if same else policy.host, "trafficPolicy": wanted.traffic_policy()},
    )
    return Step(part, manager=_MANAGER, partial=True)


def rule_name(host: str, callers: Mapping[str, str] | None) -> str:
    """The name of the DestinationRule of a host: that of the host, with a digest of the callers' labels."""
    name = host.replace("*", "any")
    if not callers:
        return name
    digest = hashlib.sha256(repr(sorted(callers.items())).encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: 253 - _DIGEST_LENGTH - 1]}-{digest}"


def _refuse_second_tls(policy: DestinationPolicy, snapshot: Snapshot) -> None:
    """Refuse TLS on a port on which the callers' programs speak TLS themselves."""
    for entry in entries(policy, snapshot) if policy.tls else ():
        ports = entry["spec"].get("ports") or ()
        for port in ports:
            if _protocol(port) in ("https", "tls") and policy.port in (None, port["number"]):
                plain = [str(each["number"]) for each in ports if read_as(_protocol(each)) == "http"]
                raise _second_tls(policy, port, title(entry), plain)


def _protocol(port: Mapping[str, Any]) -> str:
    return str(port.get("protocol", "")).lower()


def _second_tls(
    policy: DestinationPolicy, port: Mapping[str, Any], entry: str, plain: Sequence[str]
) -> BadInput:
    problem = (
        f"port {port['number']} of {policy.host} is {port['protocol']} in {entry}: programs begin TLS there"
        " themselves, and the server would get TLS within TLS."
    )
    remedy = (
        "Add a port with protocol HTTP to the ServiceEntry, with the TLS port as its targetPort, set port to"
        " it, and let programs call it in plain text."
    )
    if plain:
        remedy = f"Set port to one that programs call in plain text: {', '.join(plain)}."
    return BadInput(f"{kind(DestinationPolicy)}.port", problem, remedy=remedy)
