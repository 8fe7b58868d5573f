"""Jobs by kubectl: pods that run to completion, or fail and are tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.kubectl import IMAGE as WEB
from tests.contract.kubectl import WITHIN, Kubectl

pytestmark = pytest.mark.usefixtures("sandbox_images")
IMAGE = "meshkit.dev/sandbox/job:1"


def job(restart: str = "Never", env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    values = [{"name": name, "value": value} for name, value in (env or {}).items()]
    container = {"name": "main", "image": IMAGE, **({"env": values} if values else {})}
    pod = {"containers": [container], "restartPolicy": restart, "terminationGracePeriodSeconds": 1}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": pod}, **spec},
    }


def test_a_job_completes_and_its_log_can_be_read(kubectl: Kubectl) -> None:
    kubectl("create", "job", "j", f"--image={IMAGE}")
    kubectl("wait", "--for=condition=complete", "job/j", WITHIN)
    assert "done, exit code 0" in kubectl("logs", "job/j")
    header, row = kubectl("get", "jobs").splitlines()
    assert header.split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert row.split()[:3] == ["j", "Complete", "1/1"]
    (pod,) = kubectl("get", "pods", "-l", "job-name=j", "--no-headers").splitlines()
    assert pod.split()[1:4] == ["0/1", "Completed", "0"]
    assert "Completed" in kubectl("describe", "job", "j")
    kubectl("delete", "job", "j", "--cascade=foreground", WITHIN)
    assert kubectl("get", "pods", "-o", "name") == ""


def test_a_job_that_fails_says_so(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=job(env={"EXIT_CODE": "3"}, backoffLimit=0))
    kubectl("wait", "--for=condition=failed", "job/j", WITHIN)
    (pod,) = kubectl.json("get", "pods")["items"]
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert "BackoffLimitExceeded" in kubectl("get", "events")


def test_on_failure_the_container_is_started_again_in_its_pod(kubectl: Kubectl) -> None:
    again = job("OnFailure", {"EXIT_CODE": "1"}, backoffLimit=1)
    kubectl("apply", "-f", "-", stdin=again)
    kubectl("wait", "--for=condition=failed", "job/j", WITHIN)
    assert kubectl.json("get", "job", "j")["status"].get("succeeded", 0) == 0


def test_a_job_whose_pods_are_refused_says_so_and_goes_on_when_they_are_not(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "none", "--hard=pods=0")
    kubectl("apply", "-f", "-", stdin=job())
    kubectl("wait", "--for=jsonpath={.status.startTime}", "job/j", WITHIN)
    assert "exceeded quota" in kubectl("get", "events", "--field-selector=reason=FailedCreate")
    kubectl("delete", "quota", "none")
    kubectl("wait", "--for=condition=complete", "job/j", WITHIN)


def test_a_sidecar_is_ended_when_the_work_is_done(kubectl: Kubectl) -> None:
    made = job(env={"RUN_S": "0.5"})
    ports = [{"containerPort": 8080}]  # its address; without one it would fail and be restarted
    sidecar = {"name": "side", "image": WEB, "restartPolicy": "Always", "ports": ports}
    made["spec"]["template"]["spec"]["initContainers"] = [sidecar]
    kubectl("apply", "-f", "-", stdin=made)
    kubectl("wait", "--for=condition=complete", "job/j", WITHIN)
    ended = "jsonpath={.status.initContainerStatuses[0].state.terminated.reason}"
    kubectl("wait", f"--for={ended}", "pod", "-l", "job-name=j", WITHIN)


def test_applying_a_job_twice_changes_nothing_and_its_template_is_fixed(kubectl: Kubectl) -> None:
    for way in ([], ["--server-side"]):
        kubectl("apply", *way, "-f", "-", stdin=job())
        before = kubectl.json("get", "job", "j")["metadata"]["generation"]
        kubectl("apply", *way, "-f", "-", stdin=job())
        assert kubectl.json("get", "job", "j")["metadata"]["generation"] == before
    changed = job(env={"RUN_S": "1"})
    assert "field is immutable" in kubectl.refused("apply", "--server-side", "-f", "-", stdin=changed)


def test_a_cron_job_is_kept(kubectl: Kubectl) -> None:
    """The sandbox creates no Job from it and explains this in an Event."""
    made = job()
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": made["spec"]}}
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": spec}
    for _ in range(2):
        kubectl("apply", "--server-side", "-f", "-", stdin=cron)
    kept = kubectl.json("get", "cronjob", "c")
    assert kept["metadata"]["generation"] == 1
    assert (kept["spec"]["concurrencyPolicy"], kept["spec"]["successfulJobsHistoryLimit"]) == ("Allow", 3)
