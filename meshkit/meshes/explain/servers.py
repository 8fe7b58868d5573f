"""The servers' side of a request: over which TLS it arrives, and who lets it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from meshkit.facts import Object
from meshkit.kube.pods import has_sidecar, is_live
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.operations import operations
from meshkit.meshes.explain.ways import Entry
from meshkit.meshes.model import words
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import Cluster, Endpoint, Match, OriginTLS
from meshkit.meshes.model.pods import service_account, workload_name
from meshkit.meshes.model.registry import Backing
from meshkit.meshes.model.requests import NotKnown, Request, Sender, decide

MUTUAL, PLAINTEXT = "mutual TLS", "plaintext"


@dataclass(frozen=True)
class Servers:
    """What the proxies of the endpoints' pods do with requests."""

    effective: Effective
    addresses_known: bool = True
    _inbound: dict[Any, Inbound | None] = field(default_factory=dict, compare=False, repr=False)

    def entries(
        self, caller: Object, cluster: Cluster, request: Request, not_known: list[str]
    ) -> tuple[Entry, ...]:
        """What the ready endpoints of a cluster do with a request, equal ones together.

        What cannot be judged is added to ``not_known``.
        """
        counted: Counter[Entry] = Counter()
        for endpoint in cluster.endpoints:
            try:
                counted[self._entry(caller, cluster, endpoint, request)] += 1
            except NotKnown as problem:
                not_known.append(f"{problem}.")
        return tuple(
            replace(entry, pods=number) for entry, number in sorted(counted.items(), key=lambda e: str(e[0]))
        )

    def inbound(self, pod: Object, port: int) -> Inbound | None:
        """The inbound configuration of a pod's port; None where no proxy captures it.

        A proxy captures ports that its pod does not declare, too.
        """
        meta = pod["metadata"]
        key = (meta["namespace"], meta["name"], port)
        if key not in self._inbound:
            self._inbound[key] = self._read(pod, port)
        return self._inbound[key]

    def behind(self, cluster: Cluster) -> Iterator[tuple[Object, int]]:
        """The pods and ports of a cluster's endpoints."""
        for endpoint in cluster.endpoints:
            pod = self._by_address.get(endpoint.address)
            if pod is not None:
                yield pod, endpoint.port

    def conditions(self, places: Iterable[tuple[Object, int]]) -> tuple[Match, ...]:
        """The conditions on requests of the proxies at pods and ports, each once."""
        found = (match for place in places for match in operations(self.inbound(*place)))
        return tuple(dict.fromkeys(found))

    def plain_cluster(self, name: str, backings: Iterable[Backing]) -> Cluster:
        """The endpoints of a Service port as a caller without a proxy reaches them."""
        endpoints = tuple(Endpoint(each.address, each.port, meshed=False) for each in backings)
        return Cluster(name, endpoints, tls="never")

    def _read(self, pod: Object, port: int) -> Inbound | None:
        proxy = self.effective.meaning.PROXY
        if not has_sidecar(pod, proxy.container):
            return None
        found = _of_port(self.effective.inbound(pod), port)
        if found is not None:
            return found
        extra = {"name": "undeclared", "ports": [{"containerPort": port}]}
        containers = [*(pod["spec"].get("containers") or ()), extra]
        return _of_port(
            self.effective.inbound({**pod, "spec": {**pod["spec"], "containers": containers}}), port
        )

    @cached_property
    def _by_address(self) -> dict[str, Object]:
        return {
            str(pod["status"]["podIP"]): pod
            for pod in self.effective.registry.of("pods")
            if is_live(pod) and (pod.get("status") or {}).get("podIP")
        }

    def _entry(self, caller: Object, cluster: Cluster, endpoint: Endpoint, request: Request) -> Entry:
        pod = self._by_address.get(endpoint.address)
        if pod is not None and (by := self.effective.sidecarless.get(id(pod))):
            where = f"{pod['metadata']['namespace']}/{workload_name(pod)}"
            raise NotKnown(f"{where} is in the mesh without a sidecar ({by}): who may call it is not known")
        inbound = self.inbound(pod, endpoint.port) if pod is not None else None
        mode = inbound.mode if inbound else ""
        if isinstance(cluster.tls, OriginTLS):
            refused = "503: the server's proxy takes the mesh's certificates only"
            return Entry(1, words.server_tls(cluster.tls), mode, refused if mode == "strict" else "")
        mutual = cluster.tls == "always" or (
            cluster.tls == "auto" and endpoint.meshed and not cluster.as_asked
        )
        tls = MUTUAL if mutual else PLAINTEXT
        answer = self._connection(cluster, pod, inbound, mutual)
        if answer and not has_sidecar(caller, self.effective.meaning.PROXY.container):
            answer = answer.replace("503", "no connection", 1)
        if answer or inbound is None:
            return Entry(1, tls, mode, answer)
        sender = self._sender(caller, cluster, mutual)
        decision = decide(inbound, request, sender)
        if decision.allowed:
            return Entry(1, tls, mode, by=_policy(decision.by) + _limit(inbound, sender))
        if decision.status == 404:
            return Entry(
                1, tls, mode, "404: no route of the server takes the request", _policy(inbound.server)
            )
        why = "refused" if decision.by else "no policy allows it"
        if inbound.protocol == "tcp":
            return Entry(1, tls, mode, f"the connection is closed: {why}", _policy(decision.by))
        return Entry(1, tls, mode, f"{decision.status}: {why}", _policy(decision.by))

    def _connection(self, cluster: Cluster, pod: Object | None, inbound: Inbound | None, mutual: bool) -> str:
        """Why there is no connection to an endpoint, or empty."""
        if not mutual:
            strict = inbound is not None and inbound.mode == "strict"
            return "503: the server takes mutual TLS only" if strict else ""
        if pod is None:
            return ""  # an address outside the cluster: whether it has a proxy is not known
        if inbound is None or inbound.mode == "plaintext":
            return "503: the server takes no mutual TLS"
        proxy = self.effective.meaning.PROXY
        identity = proxy.identity(pod["metadata"]["namespace"], service_account(pod))
        if cluster.identities and identity not in cluster.identities:
            return f"503: the server's identity is {identity}, which the caller does not accept"
        return ""

    def _sender(self, caller: Object, cluster: Cluster, mutual: bool) -> Sender:
        proxy, meta = self.effective.meaning.PROXY, caller["metadata"]
        address = str((caller.get("status") or {}).get("podIP") or "") if self.addresses_known else ""
        identity = proxy.identity(meta["namespace"], service_account(caller)) if mutual else None
        return Sender(identity, address, cluster.name.rpartition("|")[2] if mutual else "")


def _of_port(inbounds: Iterable[Inbound], port: int) -> Inbound | None:
    return next((each for each in inbounds if each.port == port), None)


def _limit(inbound: Inbound, sender: Sender) -> str:
    """The rate above which a pod answers a caller with 429, as the end of who lets it in; empty for none."""
    limit = inbound.limit
    rps = limit.of(sender.identity) if limit else None
    return f" up to {rps} requests a second, then 429 (rate limit {limit.name})" if limit and rps else ""


def _policy(name: str) -> str:
    return f"policy {name}" if name else ""
