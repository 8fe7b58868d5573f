"""Host names of Services, as callers resolve them."""

from __future__ import annotations

from meshkit.meshes.model.outbound import Object

CLUSTER_DOMAIN = "cluster.local"


def host_of(service: Object) -> str:
    """The full host name of a Service."""
    meta = service["metadata"]
    return f"{meta['name']}.{meta['namespace']}.svc.{CLUSTER_DOMAIN}"


def full_host(name: str, namespace: str) -> str:
    """Resolve a host name in a namespace (``web`` in shop -> web.shop.svc.cluster.local).

    A name with a dot is unchanged, as in Istio (pilot/pkg/model, ResolveShortnameToFQDN).
    """
    return name if "." in name or name == "*" else f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}"


def domains_of(service: Object, port: int, caller_namespace: str) -> tuple[str, ...]:
    """All names by which callers in one namespace can address a Service port.

    Names without a port mean port 80, or the first port of a Service without port 80. Only the full name may
    end with a dot, for resolvers search no namespace for such a name.
    """
    meta = service["metadata"]
    name, namespace, full = meta["name"], meta["namespace"], host_of(service)
    names = [f"{name}.{namespace}", f"{name}.{namespace}.svc", full, f"{full}."]
    if namespace == caller_namespace:
        names.insert(0, name)
    address = service["spec"].get("clusterIP")
    if address and address != "None":
        names.append(address)
    ports = [int(entry["port"]) for entry in service["spec"].get("ports") or ()]
    bare = port == (80 if 80 in ports else ports[0])
    return tuple(names if bare else ()) + tuple(f"{entry}:{port}" for entry in names)
