"""Workloads with real identities: Istio's pilot-agent beside each, its certificate from the real istiod.

An agent proves who it is by a token that the real API server made for its ServiceAccount; istiod has that
server review it and signs a certificate. Each agent runs our Envoy. Without a kubelet there is no
interception: a Sidecar says where a proxy listens, and a WorkloadEntry where it is, as for a virtual machine.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from meshkit.cluster.api import Api
from meshkit.cluster.connect import connect
from meshkit.facts import Kind, Object
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.node.addresses import claim
from tests.conformance.cluster import RealCluster
from tests.conformance.istiod import running_istiod
from tests.conformance.need import need
from tests.conformance.parts import module_folder
from tests.conformance.processes import Process, free_port, running

SHOP, HOST = "shop", "web.shop.mesh"
CALLERS = ("client", "stranger")
PLAIN = "plain"
"""Who calls without a proxy."""
NETWORKING = "networking.istio.io/v1"
ROOT = Kind("v1", "ConfigMap")
TEMPLATE = Path("tools/packaging/common/envoy_bootstrap.json")
SETTLE_S = 30.0


@dataclass(frozen=True)
class Agent:
    """A pilot-agent with its Envoy, on an address of its own."""

    process: Process
    address: str
    admin_port: int

    def identities(self) -> list[str]:
        """The names in the certificates that its Envoy holds; none while it waits for them."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/certs", timeout=5) as answer:
                held = json.load(answer)["certificates"]
        except OSError:
            return []
        chains = [chain for each in held for chain in each["cert_chain"]]
        return [name["uri"] for chain in chains for name in chain["subject_alt_names"] if "uri" in name]


class RealMesh:
    """``web`` and its callers behind real agents. ``answers`` says what each caller gets."""

    def __init__(self, api: Api, agents: dict[str, Agent]) -> None:
        self.agents = agents
        self._api = api

    def objects(self, objects: Sequence[Object]) -> AbstractContextManager[None]:
        """Objects that are there for the time of a ``with`` block."""
        return _present(self._api, objects)

    def answers(self, expected: dict[str, int]) -> dict[str, int]:
        """The status that each caller gets, 0 for a connection that is refused or cut.

        Asked until it is the expected one twice, a second apart, because istiod tells nobody when all
        proxies obey; what was found last after half a minute.
        """
        deadline, agreed = time.monotonic() + SETTLE_S, 0
        while True:
            found = {caller: self._status(caller) for caller in (*CALLERS, PLAIN)}
            agreed = agreed + 1 if found == expected else 0
            if agreed == 2 or time.monotonic() > deadline:
                return found
            time.sleep(1)

    def _status(self, caller: str) -> int:
        at = self.agents["web" if caller == PLAIN else caller].address
        headers = {"Host": f"{HOST}:8080", "Connection": "close"}
        try:
            request = urllib.request.Request(f"http://{at}:8080/", headers=headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0


@contextmanager
def running_mesh(cluster: RealCluster) -> Iterator[RealMesh]:
    """A mesh of one service and two callers for the time of a ``with`` block.

    Istio's definitions and the namespaces must be there.
    """
    api = connect(kubeconfig=cluster.kubeconfig).api
    folder = cluster.folder / "agents"
    names = ("web", *CALLERS)
    net, claimed = claim(None)
    addresses = {name: f"127.{net}.0.{number}" for number, name in enumerate(names, 1)}
    with ExitStack() as stack:
        stack.callback(claimed.close)
        discovery = stack.enter_context(running_istiod(cluster))
        port = stack.enter_context(_application())
        stack.enter_context(_present(api, _world(addresses, port)))
        root = api.wait(ROOT, "istio-ca-root-cert", SHOP, bool, 60, "there")["data"]["root-cert.pem"]
        agents = {}
        for name in names:
            home = folder / name
            _give_secrets(cluster, home, name, root)
            agents[name] = stack.enter_context(_agent(home, name, addresses[name], discovery))
        _wait_for_certificates(agents)
        yield RealMesh(api, agents)


def _world(addresses: dict[str, str], port: int) -> list[Object]:
    """The service, where its workloads are, and where their proxies listen."""
    ports = [{"number": 8080, "name": "http", "protocol": "HTTP"}]
    service = {"hosts": [HOST], "ports": ports, "resolution": "STATIC", "location": "MESH_INTERNAL"}
    made = [_object("ServiceEntry", "web", {**service, "workloadSelector": {"labels": {"app": "web"}}})]
    for name, address in addresses.items():
        made.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name)})
        labels = {"app": name, "security.istio.io/tlsMode": "istio"}
        entry = {"address": address, "labels": labels, "serviceAccount": name, "ports": {"http": 8080}}
        made.append(_object("WorkloadEntry", name, entry))
        listener: dict[str, Any] = {"port": ports[0], "bind": address, "captureMode": "NONE"}
        if name == "web":
            way = {"ingress": [{**listener, "defaultEndpoint": f"127.0.0.1:{port}"}]}
        else:
            way = {"egress": [{**listener, "hosts": [f"{SHOP}/*"]}]}
        made.append(_object("Sidecar", name, {"workloadSelector": {"labels": {"app": name}}, **way}))
    return made


def _meta(name: str) -> dict[str, str]:
    return {"name": name, "namespace": SHOP}


def _object(kind: str, name: str, spec: dict[str, Any]) -> Object:
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": _meta(name), "spec": spec}


@contextmanager
def _present(api: Api, objects: Sequence[Object]) -> Iterator[None]:
    for each in objects:
        api.apply(each, manager="conformance")
    try:
        yield
    finally:
        for each in objects:
            meta = each["metadata"]
            api.delete(Kind(each["apiVersion"], each["kind"]), meta["name"], meta["namespace"])


def _give_secrets(cluster: RealCluster, home: Path, account: str, root: str) -> None:
    """What a kubelet would mount: the mesh's root, and a token of the account for istiod alone."""
    api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    wanted = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["istio-ca"], expiration_seconds=3600)
    )
    token = api.create_namespaced_service_account_token(account, SHOP, wanted).status.token
    api.api_client.close()
    for path, text in (("istio/root-cert.pem", root), ("tokens/istio-token", token)):
        file = home / "var/run/secrets" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (home / "etc").mkdir()


@contextmanager
def _agent(home: Path, name: str, address: str, discovery: str) -> Iterator[Agent]:
    admin_port = free_port()
    proxy = {
        "discoveryAddress": discovery,
        "binaryPath": str(envoy.binary()),
        "configPath": str(home / "etc"),
        "proxyAdminPort": admin_port,
        "statusPort": free_port(),
        "concurrency": 1,
    }
    environment = {
        **os.environ,
        "POD_NAME": name,
        "POD_NAMESPACE": SHOP,
        "INSTANCE_IP": address,
        "SERVICE_ACCOUNT": name,
        "TRUST_DOMAIN": "cluster.local",
        "CA_ADDR": discovery,
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_INTERCEPTION_MODE": "NONE",
        "ISTIO_METAJSON_LABELS": json.dumps({"app": name}),
        "PEER_METADATA_DISCOVERY": "false",  # an extension of Istio's own build of Envoy
        "ENVOY_STATUS_PORT": str(free_port()),
        "ENVOY_PROMETHEUS_PORT": str(free_port()),
        "PROXY_CONFIG": yaml.safe_dump(proxy),
    }
    template = module_folder("istio.io/istio") / TEMPLATE
    command = [str(need("pilot-agent")), "proxy", "sidecar", f"--domain={SHOP}.svc.cluster.local"]
    with running("agent", [*command, f"--templateFile={template}"], home, environment) as process:
        yield Agent(process, address, admin_port)


def _wait_for_certificates(agents: dict[str, Agent]) -> None:
    deadline = time.monotonic() + 60
    for agent in agents.values():
        while not agent.identities():
            assert time.monotonic() < deadline, f"no certificate:\n{agent.process.tail()}"
            time.sleep(0.2)


@contextmanager
def _application() -> Iterator[int]:
    """What ``web`` is: it answers 200 on a port of loopback."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
