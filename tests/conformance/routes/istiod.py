"""The real istiod beside the world's API server, and how to know that it has told everything it knows.

istiod 1.31 ends at once when it is started with files and no Kubernetes (it asks a cluster for its
namespaces), so it is given one. It serves plain xDS on loopback. What plain Envoy lacks is switched off:
Istio's metadata exchange and ALPN filters; its metrics filter is only there when a Telemetry asks for it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.conformance.istiod import FOR_PLAIN_ENVOY

Object = dict[str, Any]
READY_S = 90.0
INGRESS = (("ingresses", "Ingress", "Namespaced"), ("ingressclasses", "IngressClass", "Cluster"))
MESH = {
    "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
    # Its clusters would wait for certificates, which come from pilot-agent; the world's pods take plain text.
    "enableAutoMtls": False,
}
SWITCHES = {
    **FOR_PLAIN_ENVOY,
    "PILOT_ENABLE_GATEWAY_API": "false",
    "POD_NAMESPACE": "istio-system",
    "POD_NAME": "istiod-0",
    "REVISION": "default",
    "CLUSTER_ID": "Kubernetes",
}


def crds(istioctl: Path) -> list[Object]:
    """The CRDs of Istio as its own installer prints them, and room for Ingress, which istiod lists."""
    printed = subprocess.run(
        [str(istioctl), "manifest", "generate", "--set", "profile=minimal"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    documents = yaml.load_all(printed.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found = [item for item in documents if item and item["kind"] == "CustomResourceDefinition"]
    return [*found, *(_open_crd(*row) for row in INGRESS)]


def _open_crd(plural: str, kind: str, scope: str) -> Object:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    group = "networking.k8s.io"
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
    }


class Istiod:
    """A running istiod."""

    def __init__(
        self, address: str, process: subprocess.Popen[bytes], session: aiohttp.ClientSession
    ) -> None:
        self.xds = (address, 15010)
        self._debug = f"http://{address}:8080"
        self._metrics = f"http://{address}:15014/metrics"
        self._process = process
        self._session = session

    @classmethod
    async def start(
        cls, program: Path, kubeconfig: Path, address: str, directory: Path, session: aiohttp.ClientSession
    ) -> Istiod:
        """Start it and wait until it is ready."""
        command = [
            *(str(program), "discovery", f"--kubeconfig={kubeconfig}"),
            *(
                f"--httpAddr={address}:8080",
                f"--grpcAddr={address}:15010",
                "--secureGRPCAddr=",
                "--httpsAddr=",
            ),
            *(f"--monitoringAddr={address}:15014", "--ctrlz_port=0", "--domain=cluster.local"),
        ]
        with (directory / "istiod.log").open("wb") as log:
            environment = {**os.environ, **SWITCHES}
            process = subprocess.Popen(  # noqa: ASYNC220 - it is there in a millisecond
                command, cwd=directory, env=environment, stdout=log, stderr=log
            )
        running = cls(address, process, session)
        try:
            async with asyncio.timeout(READY_S):
                while not await running._is_ready():
                    if process.poll() is not None:
                        raise RuntimeError(f"istiod ended:\n{(directory / 'istiod.log').read_text()[-3000:]}")
                    await asyncio.sleep(0.1)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return running

    async def holds(self, objects: Iterable[Object]) -> bool:
        """Whether its store has exactly these objects of Istio's, each as written."""
        wanted = {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in objects}
        async with self._session.get(f"{self._debug}/debug/configz") as answer:
            have = await answer.json(content_type=None)
        found = {
            (item["metadata"].get("uid"), item["metadata"].get("resourceVersion")) for item in have or ()
        }
        return wanted == found

    async def rejections(self) -> dict[str, float]:
        """What Envoys refused of it since it started (its NACK counters)."""
        async with self._session.get(self._metrics) as answer:
            lines = (await answer.text()).splitlines()
        counted = (line.rsplit(" ", 1) for line in lines if line.startswith("pilot_total_xds_rejects"))
        return {name: float(value) for name, value in counted}

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._debug}/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False
