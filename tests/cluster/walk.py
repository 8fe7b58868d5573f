"""The way through meshkit on a cluster: commands as processes, and the callers' own records of requests."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, ClusterError
from meshkit.facts import Kind, Object
from meshkit.operations import shop
from meshkit.operations.change import history
from tests.cluster import images, telemetry
from tests.conformance.parts import module_folder

POD, DEPLOYMENT = Kind("v1", "Pod"), Kind("apps/v1", "Deployment")
CLIENT, BATCH, TESTER = ("shop", "client"), ("legacy", "batch"), ("shop", "tester")
"""The meshed caller, the one without a sidecar, and a second meshed one that sends a header."""
HEADER = ("x-user", "tester")
HOME = "istio-system"
VERSION = images.istio_version()
SETTLED_S = 0.5
"""How old a request is before its outcome counts: slower ones are pending."""
COMMAND_S, SHOWN = 300.0, 20
"""How long a command may take, and how many of its lines a report shows."""
LEAVE_S = 3
LOOK_S = 0.2
BAD = "v3"
"""The version of the shop that answers a share of its requests with 500."""
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
CONFIG_MAP, NAMESPACE = Kind("v1", "ConfigMap"), Kind("v1", "Namespace")
RIGHTS = tuple(Kind("rbac.authorization.k8s.io/v1", kind) for kind in ("ClusterRole", "ClusterRoleBinding"))
WEBHOOKS = tuple(
    Kind("admissionregistration.k8s.io/v1", f"{kind}WebhookConfiguration")
    for kind in ("Mutating", "Validating")
)

ROUTE = {"kind": "Route", "namespace": "shop", "service": "web", "port": 8080}
VERSIONS = [{"name": version} for version in ("v1", "v2", "v3")]
RELEASE = {
    "kind": "Release",
    "namespace": "shop",
    "service": "web",
    "port": 8080,
    "stable": "v1",
    "steps": [10, 50, 100],
    "step_s": 12,
    "look_s": 2,
    "min_requests": 20,
    "warm_up_s": 4,
    "baseline_s": 0,
    "soak_s": 0,
    "watch_s": 0,
    "deadline_s": 240,
    "margins": {"error_points": 5, "p50_percent": 100, "p90_percent": 150, "p99_percent": 300},
}
"""A release that goes to 100 % within a minute; its name and canary are each test's."""

Outcomes = collections.Counter[tuple[int, str]]
"""How many requests ended with a status and an answering version; status 0 is no answer."""


@dataclass(frozen=True)
class Walk:
    """A cluster, a directory for the files that commands read, and the environment of commands."""

    cluster: Cluster
    kubeconfig: Path
    folder: Path
    environment: dict[str, str]
    made: list[str] = field(default_factory=list)
    """The changes of the walk that it undoes at its end, oldest first."""

    @property
    def charts(self) -> Path:
        """Istio's charts, in the source that its programs were built from."""
        return module_folder("istio.io/istio") / "manifests" / "charts"

    def meshkit(self, *words: str, code: int = 0, timeout_s: float = COMMAND_S) -> str:
        """Run a command of meshkit, which must end with ``code``; what it printed."""
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "meshkit", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=self._of_commands,
        )
        said = "\n".join(f"{ended.stdout}{ended.stderr}".splitlines()[-SHOWN:])
        print(f"$ meshkit {' '.join(words)} ({time.monotonic() - began:.1f} s)\n{said}")
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        return ended.stdout

    def kill_during(self, *words: str, when: Callable[[], bool]) -> None:
        """Run a command of meshkit, and kill its process as soon as it holds."""
        command = [sys.executable, "-m", "meshkit", *words]
        log = self.folder / "killed.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=output, env=self._of_commands
            )
            try:
                until_s = time.monotonic() + COMMAND_S
                while not when():
                    assert process.poll() is None, f"it has ended before: {log.read_text()}"
                    assert time.monotonic() < until_s, f"it never held: {log.read_text()}"
                    time.sleep(LOOK_S)
            finally:
                process.kill()
                process.wait()
        said = "\n".join(log.read_text().splitlines()[-SHOWN:])
        print(f"$ meshkit {' '.join(words)} (killed)\n{said}")

    @property
    def _of_commands(self) -> dict[str, str]:
        """The environment of a command."""
        return {**os.environ, **self.environment, "KUBECONFIG": str(self.kubeconfig)}

    def runbook(self, name: str, *parameters: str) -> None:
        """Run a runbook that changes the cluster."""
        given = [word for parameter in parameters for word in ("-p", parameter)]
        self.meshkit("runbook", "run", name, "--apply", "--out", str(self.folder / "out"), *given)

    def newest_change(self) -> str:
        """The id of the change that was made last."""
        return history(self.cluster)[0].id

    def write(self, name: str, *documents: dict[str, Any]) -> str:
        """Write a YAML file for a command; its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    def values(self) -> str:
        """The file of the values that istiod's chart gets here."""
        return self.write("values", telemetry.CHART_VALUES)

    def requests(self, since_s: float, until_s: float, caller: tuple[str, str] = CLIENT) -> Outcomes:
        """What a caller recorded of the requests that were due between two times."""
        ledger = shop.read_ledger(self.cluster, since_s, until_s, caller=caller)
        return collections.Counter(zip(ledger.status, ledger.version, strict=True))

    def next_requests(self, seconds: float, caller: tuple[str, str] = CLIENT) -> Outcomes:
        """What becomes of the requests that a caller sends from now on."""
        since_s = time.time()
        time.sleep(seconds + SETTLED_S)
        return self.requests(since_s, since_s + seconds, caller)

    def wait_for(
        self, holds: Callable[[Outcomes], bool], caller: tuple[str, str] = CLIENT, timeout_s: float = 60
    ) -> None:
        """Wait until it holds for a second's requests of a caller."""
        until_s, seen = time.monotonic() + timeout_s, Outcomes()
        while time.monotonic() < until_s:
            try:
                seen = self.next_requests(1.0, caller)
            except (BadInput, ClusterError):  # Its pod is being replaced.
                time.sleep(0.5)
                continue
            if seen and holds(seen):
                return
        raise AssertionError(f"not within {timeout_s:.0f} s; the last requests of {caller}: {seen}")

    def set_rate(self, caller: tuple[str, str], rps: float) -> None:
        """Let a caller send this many requests a second."""
        namespace, name = caller
        (pod,) = self.pods(namespace, f"app={name}")
        body = json.dumps({"rps": rps})
        self.cluster.api.pod_put(namespace, pod["metadata"]["name"], shop.CONTROL_PORT, "/-/rate", body)

    def set_errors(self, pod: dict[str, Any], *, percent: float) -> None:
        """Let one pod of the shop answer this share of its requests with 500."""
        body = json.dumps({"error_percent": percent})
        name, place = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.cluster.api.pod_put(place, name, shop.CONTROL_PORT, "/-/behaviour", body)

    def explained(self, *words: str, caller: tuple[str, str]) -> dict[str, float]:
        """Where meshkit says that a caller's requests go: versions with their shares in percent."""
        (way,) = self._ways(*words, caller=caller)
        shares = {each["subset"]: each["share_percent"] for each in way["destinations"]}
        return {version: percent for version, percent in shares.items() if percent}

    def refused(self, caller: tuple[str, str]) -> bool:
        """Whether meshkit says that a caller's requests are refused with 403."""
        return any("403" in failure for way in self._ways(caller=caller) for failure in way["failures"])

    def _ways(self, *words: str, caller: tuple[str, str]) -> list[dict[str, Any]]:
        said = self.meshkit("explain", "web.shop:8080/", "--from", "/".join(caller), *words, "--json")
        found: list[dict[str, Any]] = json.loads(said)["ways"]
        return found

    def pods(self, namespace: str, labels: str = "") -> list[dict[str, Any]]:
        """The running pods, without those that are about to end."""
        found = self.cluster.api.list(POD, namespace, labels)
        return [
            dict(pod)
            for pod in found
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def zones(self, namespace: str, labels: str) -> set[str]:
        """The nodes on which pods run, of which there is one in each zone."""
        return {pod["spec"]["nodeName"] for pod in self.pods(namespace, labels)}

    def deploy_shop(self, rps: float) -> None:
        """Deploy the shop and the caller without a sidecar, and wait until all of them are ready."""
        objects = [with_time_to_leave(each) for each in shop.shop_objects(rps=rps, unmeshed=True)]
        for each in objects:
            self.cluster.api.apply(each)
        wanted = [each["metadata"] for each in objects if each["kind"] == "Deployment"]
        names = [(each["namespace"], each["name"]) for each in wanted]
        shop.wait_for_shop(self.cluster, timeout_s=180, deployments=names)

    def add_tester(self) -> None:
        """Add the second meshed caller, which sends ``HEADER`` with every request."""
        deployments = (each for each in shop.shop_objects(rps=20) if each["kind"] == "Deployment")
        (found,) = (each for each in deployments if each["metadata"]["name"] == "client")
        text = json.dumps(found).replace('"client"', '"tester"')
        tester: dict[str, Any] = json.loads(text)
        pod = tester["spec"]["template"]["spec"]
        pod["containers"][0]["env"].append({"name": "HEADERS", "value": json.dumps(dict([HEADER]))})
        account = {"name": "tester", "namespace": "shop"}
        self.cluster.api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        self.cluster.api.apply(tester)
        shop.wait_for_shop(self.cluster, timeout_s=120, deployments=[TESTER])


def with_time_to_leave(obj: Object) -> Object:
    """A Deployment whose pods go on serving for a time after they were told to end.

    A node learns that a pod is no endpoint any more only after the pod was told, and the shop's programs
    accept no connection from then on.
    """
    if obj["kind"] == "Deployment":
        for container in obj["spec"]["template"]["spec"]["containers"]:
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": LEAVE_S}}}
    return obj


def failed(outcomes: Outcomes) -> int:
    """How many of these requests got no answer, or a server's error that is not the bad version's own."""
    return sum(
        count
        for (status, version), count in outcomes.items()
        if status == 0 or (status >= 500 and version != BAD)
    )


def statuses(outcomes: Outcomes) -> set[int]:
    """The statuses of these requests."""
    return {status for status, _ in outcomes}


def versions(outcomes: Outcomes) -> set[str]:
    """The versions that answered these requests."""
    return {version for _, version in outcomes}


def sidecar(pod: dict[str, Any]) -> bool:
    """Whether a pod has the proxy as a native sidecar."""
    found = pod["spec"].get("initContainers") or ()
    return any((each["name"], each.get("restartPolicy")) == ("istio-proxy", "Always") for each in found)


def left_of_istio(cluster: Cluster) -> list[str]:
    """What of Istio is still in a cluster."""
    api = cluster.api
    found = [(kind, each) for kind in (CRD, NAMESPACE, *WEBHOOKS, *RIGHTS) for each in api.list(kind)]
    found += [(CONFIG_MAP, each) for each in api.list(CONFIG_MAP)]
    names = [
        (kind.kind, each["metadata"].get("namespace", ""), each["metadata"]["name"]) for kind, each in found
    ]
    return [" ".join(words) for words in names if "istio" in words[2]]
