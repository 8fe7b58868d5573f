"""kubectl and running pods: rollouts there and back, logs, describe, proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.kubectl import WITHIN, Kubectl, deployment

pytestmark = pytest.mark.usefixtures("sandbox_images")
ROLLED_OUT = ("rollout", "status", "deployment/web", WITHIN)


def template(kubectl: Kubectl) -> Any:
    return kubectl.json("get", "deployment", "web")["spec"]["template"]


def test_a_rollout_is_followed_paused_and_undone(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl(*ROLLED_OUT)
    kubectl("set", "env", "deployment/web", "VERSION=v2")
    assert "successfully rolled out" in kubectl(*ROLLED_OUT)
    history = kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/web")
    kubectl(*ROLLED_OUT)
    assert "env" not in template(kubectl)["spec"]["containers"][0]
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "env", "deployment/web", "VERSION=v3")
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "restart", "deployment/web")
    kubectl(*ROLLED_OUT)
    assert "kubectl.kubernetes.io/restartedAt" in template(kubectl)["metadata"]["annotations"]


def test_logs_of_one_container_the_last_lines_and_as_they_come(
    kubectl: Kubectl, watching: Callable[..., Any]
) -> None:
    def job(name: str, run_s: str) -> dict[str, Any]:
        env = [{"name": "RUN_S", "value": run_s}]
        return {"name": name, "image": "meshkit.dev/sandbox/job:1", "env": env}

    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [job("a", "0"), job("b", "1.5")],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=pod)
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/p", WITHIN)
    following = watching(kubectl, "logs", "p", "-c", "b", "-f")
    assert list(following) == ["working for 1.5 s\n", "done, exit code 0\n"]
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", WITHIN)
    assert kubectl("logs", "p", "-c", "a", "--tail=1") == "done, exit code 0\n"
    assert "working for 0 s" in kubectl("logs", "p", "--all-containers")
    assert "is not valid for pod p" in kubectl.refused("logs", "p", "-c", "zzz")


def test_logs_of_the_life_before_and_none_of_a_time(kubectl: Kubectl) -> None:
    env = [{"name": "RUN_S", "value": "0"}, {"name": "EXIT_CODE", "value": "7"}]
    job = {"name": "c", "image": "meshkit.dev/sandbox/job:1", "env": env}
    spec = {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 1, "containers": [job]}
    kubectl(
        "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    )
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=2", "pod/p", WITHIN)
    once = "working for 0 s\ndone, exit code 7\n"
    assert kubectl("logs", "p", "--previous") == once
    assert kubectl("logs", "p", "--previous", "--tail=1") == "done, exit code 7\n"
    assert "does not store timestamps of log lines" in kubectl.refused("logs", "p", "--since=1m")
    assert "does not store timestamps of log lines" in kubectl.refused("logs", "p", "--timestamps")
    kubectl("run", "q", "--image=meshkit.dev/sandbox/web:1")
    refused = kubectl.refused("logs", "q", "--previous")
    assert 'previous terminated container "q" in pod "q" not found' in refused


def test_describe_a_pod_tells_its_story(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl(*ROLLED_OUT)
    described = kubectl("describe", "pods", "-l", "app=web")
    assert "Controlled By:  ReplicaSet/web-" in described
    assert "Successfully assigned" in described
    assert "Readiness:" in described
    (row,) = kubectl("get", "rs", "-o", "wide", "--no-headers").splitlines()
    assert row.split()[1:4] == ["1", "1", "1"]
    assert "deployment.apps/web" in kubectl("get", "all", "-o", "name")


def test_an_image_that_nobody_knows_is_named(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=example.com/none:1")
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull",
            "pod/p", WITHIN)  # fmt: skip
    assert "ErrImagePull" in kubectl("get", "pod", "p")
    assert "meshkit.dev/sandbox/web" in kubectl("describe", "pod", "p")
