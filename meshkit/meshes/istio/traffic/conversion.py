"""Plan the move of a VirtualService of one Service to HTTPRoutes that do the same.

A subset becomes a Service of its own, with the policies of the subset. The VirtualService is removed once the
HTTPRoutes have been accepted. What an HTTPRoute cannot say is refused by its field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Need, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.meaning.matches import rank
from meshkit.meshes.gateway_api.routes import HTTP_ROUTE, accepted_step, route_name
from meshkit.meshes.gateway_api.rules import backend_name, require_order
from meshkit.meshes.gateway_api.versions import service_of
from meshkit.meshes.istio.traffic.converted_rules import KEEP, Converted, refused
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.routes import SETTLE_S, VIRTUAL_SERVICE
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host
from meshkit.meshes.ownership import deletion_step
from meshkit.meshes.routing import destinations, policy_fields
from meshkit.meshes.routing.live import Port

Json = dict[str, Any]
_SPEC = {"hosts", "http", "gateways", "exportTo"}


def needs(namespace: str) -> tuple[Need, ...]:
    """The objects that ``conversion`` reads."""
    here = (Need(kind, namespace) for kind in (VIRTUAL_SERVICE, HTTP_ROUTE))
    anywhere = (Need(kind, within=(namespace,), optional=True) for kind in (SERVICE, DESTINATION_RULE))
    return (*here, *anywhere)


def conversion(name: str, namespace: str, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that replace a VirtualService by HTTPRoutes.

    Raises ``BadInput`` for one that does not exist, and for a field that an HTTPRoute has no equivalent of.
    """
    found = snapshot.find(VIRTUAL_SERVICE.kind, name, namespace)
    if found is None:
        raise BadInput(
            "name", f"there is no VirtualService {namespace}/{name}.", remedy="Name one that exists."
        )
    work = _Conversion(found, _service(found, snapshot), snapshot)
    routes = tuple(work.routes())
    before = (*work.services.values(), *work.policies.values())
    first = [Step(each) for each in before]
    if first:
        first[-1] = replace(first[-1], settle_s=SETTLE_S)
    return (*first, *map(accepted_step, routes), deletion_step(found))


def _service(item: Object, snapshot: Snapshot) -> Object:
    """The one Service that a VirtualService is for."""
    spec, namespace = item["spec"], item["metadata"]["namespace"]
    for key in sorted(spec.keys() - _SPEC):
        raise refused(item, f"spec.{key}", "an HTTPRoute of a Service has no equivalent")
    if (spec.get("gateways") or ["mesh"]) != ["mesh"]:
        raise refused(item, "spec.gateways", "it is for gateways, and only calls inside the mesh are moved")
    if (spec.get("exportTo") or ["*"]) != ["*"]:
        raise refused(item, "spec.exportTo", "an HTTPRoute holds for the callers of all namespaces")
    hosts = [full_host(str(host).lower(), namespace) for host in spec.get("hosts") or ()]
    name = hosts[0].partition(".")[0] if len(hosts) == 1 else ""
    service = snapshot.find(SERVICE.kind, name, namespace)
    if service is None or hosts != [f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}"]:
        raise refused(item, "spec.hosts", "it is not one Service of the same namespace")
    return service


@dataclass
class _Conversion:
    """The objects that one VirtualService becomes."""

    item: Object
    service: Object
    snapshot: Snapshot
    services: dict[str, Json] = field(default_factory=dict)
    """The Services of subsets that do not exist yet, by their names."""
    policies: dict[str, Json] = field(default_factory=dict)

    def routes(self) -> Iterator[Json]:
        """An HTTPRoute for each port that has rules."""
        taken: set[str] = set()
        for port in self.service["spec"].get("ports") or ():
            number = int(port["port"])
            written = Converted(self.item, number, self._backend).rules()
            if not written:
                continue
            require_order(written, rank, of=f"{title(self.item)} ", remedy=KEEP)
            name = self._name(number, taken)
            taken.add(name)
            parent = {"group": "", "kind": "Service", "name": self._host, "port": number}
            spec = {"parentRefs": [parent], "rules": [rule for _, rule in written]}
            yield manifests.obj(HTTP_ROUTE, name, self._namespace, spec=spec)

    @property
    def _namespace(self) -> str:
        return str(self.item["metadata"]["namespace"])

    @property
    def _host(self) -> str:
        return str(self.service["metadata"]["name"])

    def _name(self, port: int, taken: set[str]) -> str:
        """``<service>-<route name>``, as a Route names it; with the port for a second one."""
        entries = [
            entry
            for entry in self.item["spec"].get("http") or ()
            if any(match.get("port") in (None, port) for match in entry.get("match") or [{}])
        ]
        name = route_name(self._host, entries[-1].get("name") or "primary")
        name = f"{name}-{port}" if name in taken else name
        if self.snapshot.find(HTTP_ROUTE.kind, name, self._namespace):
            raise refused(self.item, "metadata.name", f"HTTPRoute {self._namespace}/{name} exists already")
        return name

    def _backend(self, where: str, destination: Mapping[str, Any], port: int) -> Json:
        """The backend of a destination: its Service, or that of its subset."""
        host = full_host(str(destination["host"]).lower(), self._namespace)
        name, _, rest = host.partition(".")
        namespace = rest.removesuffix(f".svc.{CLUSTER_DOMAIN}")
        service = self.snapshot.find(SERVICE.kind, name, namespace)
        if service is None:
            raise refused(self.item, f"{where}.host", f"{host} is no Service that can be read")
        number = _port_of(service, destination, port)
        if subset := destination.get("subset"):
            name = self._version(f"{where}.subset", service, str(subset), number)
        reference = {"group": "", "kind": "Service", "name": name, "port": number}
        return reference if namespace == self._namespace else {**reference, "namespace": namespace}

    def _version(self, where: str, service: Object, subset: str, port: int) -> str:
        """The name of a subset's Service, which is made if there is none."""
        meta = service["metadata"]
        name = backend_name(meta["name"], subset)
        at = Port(meta["namespace"], meta["name"], port)
        labels = destinations.subsets(at, self.snapshot).get(subset)
        if not labels:
            raise refused(self.item, where, f"no DestinationRule defines subset {subset} by labels")
        selector = {**(service["spec"].get("selector") or {}), **labels}
        present = self.snapshot.find(SERVICE.kind, name, at.namespace)
        if present is None:
            ports = service["spec"]["ports"]
            self.services[name] = service_of(meta["name"], name, at.namespace, selector, ports)
        elif present["spec"].get("selector") != selector:
            problem = f"Service {at.namespace}/{name}, which would stand for it, selects other pods"
            raise refused(self.item, where, problem)
        self._carry_policy(where, at, subset, name)
        return name

    def _carry_policy(self, where: str, at: Port, subset: str, name: str) -> None:
        """Give the Service of a subset the policies that the subset has."""
        host = f"{at.service}.{at.namespace}.svc.{CLUSTER_DOMAIN}"
        rules = [
            rule
            for rule in destinations.rules(self.snapshot)
            if full_host(str(rule["spec"].get("host", "")).lower(), rule["metadata"]["namespace"]) == host
            and any(each["name"] == subset for each in rule["spec"].get("subsets") or ())
        ]
        policies = [_policy_of(rule, subset) for rule in rules]
        if not any(policies):
            return
        if len(rules) > 1 or rules[0]["metadata"]["namespace"] != at.namespace:
            problem = f"its policies are in {', '.join(map(title, rules))}"
            raise refused(self.item, where, problem)
        if self.snapshot.find(DESTINATION_RULE.kind, name, at.namespace):
            raise refused(self.item, where, f"DestinationRule {at.namespace}/{name} exists already")
        spec = {"host": name, "trafficPolicy": policies[0]}
        if "exportTo" in rules[0]["spec"]:
            spec["exportTo"] = rules[0]["spec"]["exportTo"]
        notes = policy_fields.note(policy_fields.written(rules[0]))
        self.policies[name] = manifests.obj(
            DESTINATION_RULE, name, at.namespace, annotations=notes, spec=spec
        )


def _policy_of(rule: Object, subset: str) -> Json:
    """The policies of a subset: its own, and those of its host that it does not replace."""
    own = next(each for each in rule["spec"]["subsets"] if each["name"] == subset)
    return {**(rule["spec"].get("trafficPolicy") or {}), **(own.get("trafficPolicy") or {})}


def _port_of(service: Object, destination: Mapping[str, Any], port: int) -> int:
    """The port that a destination names, else the only one of its Service, else that of the request."""
    if number := (destination.get("port") or {}).get("number"):
        return int(number)
    ports = list(service["spec"].get("ports") or ())
    return int(ports[0]["port"]) if len(ports) == 1 else port
