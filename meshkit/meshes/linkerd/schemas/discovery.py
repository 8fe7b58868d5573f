"""ServiceProfiles, and workloads outside of Kubernetes."""

from __future__ import annotations

from meshkit.meshes.linkerd.schemas.blocks import (
    ANYTHING,
    BOOLEAN,
    PORT,
    Schema,
    array,
    condition,
    mapping,
    text,
    whole,
)

_QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|"
    r"([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def service_profile(*, needs_routes: bool) -> Schema:
    """Routes and overrides of a Service; v1alpha1 needs routes. Conditions nest, and are open inside."""
    request = mapping(
        (),
        pathRegex=text(),
        method=text(),
        all=array(ANYTHING),
        any=array(ANYTHING),
        **{"not": array(ANYTHING)},
    )
    statuses = mapping(min=whole(), max=whole())
    answer = mapping((), all=array(ANYTHING), any=array(ANYTHING), status=statuses, **{"not": ANYTHING})
    route = mapping(
        ("condition", "name"),
        name=text(),
        condition=request,
        isRetryable=BOOLEAN,
        timeout=text(),
        responseClasses=array(mapping(("condition",), condition=answer, isFailure=BOOLEAN)),
    )
    budget = mapping(
        ("minRetriesPerSecond", "retryRatio", "ttl"),
        minRetriesPerSecond=whole(),
        retryRatio={"type": "number", "format": "float"},
        ttl=text(),
    )
    weight = {"x-kubernetes-int-or-string": True, "pattern": _QUANTITY}
    return mapping(
        ("routes",) if needs_routes else (),
        routes=array(route),
        retryBudget=budget,
        dstOverrides=array(mapping(authority=text(), weight=weight)),
        opaquePorts=array(text()),
    )


def external_workload(identity: str, most_addresses: int) -> Schema:
    """A workload outside of Kubernetes; ``identity`` is the name of the field with its identity."""
    name = text(253, 1)
    tls = mapping(("identity", "serverName"), identity=name, serverName=name)
    port = mapping(("port",), name=text(), port=PORT, protocol=text(default="TCP"))
    addresses = array(mapping(ip=text()), maxItems=most_addresses)
    return mapping((identity,), ports=array(port), workloadIPs=addresses, **{identity: tls})


def external_workload_status() -> Schema:
    """Its conditions, with the time of the last probe."""
    told = condition()
    told["properties"]["lastProbeTime"] = text(format="date-time")
    return mapping(conditions=array(told))
