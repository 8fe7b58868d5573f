"""Run a release as a Job of the cluster, with an account that has the rights of the verb and nothing else.

The Job runs ``meshkit release run --change ID``, so a pod that is started again resumes the same run, and
does nothing once it has ended. A second Job, the guardian, takes the release back if the first is gone for
too long. Both, their accounts and roles are one change of the journal, and its undo deletes them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import ReleaseNotStarted, UnknownName
from meshkit.facts import Kind, Object
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.version import __version__

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.operations.plan import Plan
    from meshkit.operations.rights.roles import Verb

IMAGE = f"meshkit:{__version__}"
"""The image of the Containerfile; a cluster needs the name under which its registry has it."""
OPERATION = "release in cluster"
"""The name of the operation in the journal."""
FOLDER, FILE = "/etc/meshkit", "release.json"
"""Where a Job's pod finds the release."""
KEPT_S = 24 * 3600
"""How long a finished Job stays with its logs; what is not a Job stays until its change is undone."""
RESTARTS = 6
STARTED_S = 120.0
"""How long ``wait_until_runs`` waits: an image may have to be pulled."""
_USER = 65532
"""The user of the image: no user of any usual base image."""
_LONGEST = 40
_ACCOUNT, _CONFIG_MAP = Kind("v1", "ServiceAccount"), Kind("v1", "ConfigMap")
_JOB = Kind("batch/v1", "Job")


@dataclass(frozen=True)
class InCluster:
    """The plan of the objects that run a release; ``change_id`` is the id of the release's run."""

    plan: Plan
    release: Release
    change_id: str
    jobs: tuple[str, ...]


def plan_in_cluster(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    image: str = IMAGE,
    guardian: bool = False,
) -> InCluster:
    """Plan the Job that runs a release, or resumes it, and with ``guardian`` the one that watches over it.

    Changes nothing. Raises what ``plan_release`` raises for a release that cannot be run.
    """
    from meshkit.cluster.journal import NAMESPACE as HOME
    from meshkit.cluster.journal import Operation
    from meshkit.operations.change import plan_steps
    from meshkit.operations.release.plan import plan_release

    planned = plan_release(release, cluster, mesh=mesh, prometheus=prometheus)
    run = ["release", "run", "-f", f"{FOLDER}/{FILE}", "--change", planned.change_id]
    run += ["--prometheus", prometheus] if prometheus else []
    words = {"runner": [*run, "--mesh", planned.mesh]}
    if guardian:
        words["guardian"] = ["release", "guard", release.name, "--change", planned.change_id]
    name = release.name[:_LONGEST].rstrip("-.")
    parts = [_Part(part, f"{name}-{part}", args, image, planned) for part, args in words.items()]
    objects = [obj(NAMESPACE, HOME), *(item for part in parts for item in part.objects(HOME))]
    facts: dict[str, str | bool] = {"namespace": release.namespace}
    operation = Operation(OPERATION, planned.mesh, release.name, facts)
    what = f"Release {release.namespace}/{release.name} as a Job"
    plan = plan_steps([Step(item) for item in objects], cluster, operation, what=what)
    return InCluster(plan, release, planned.change_id, tuple(part.job for part in parts))


@dataclass(frozen=True)
class _Part:
    """The Job of the runner or of the guardian, and what it needs."""

    part: str
    name: str
    args: Sequence[str]
    image: str
    planned: Any

    @property
    def job(self) -> str:
        """Jobs cannot be changed, so each run has its own."""
        return f"{self.name}-{self.planned.change_id[-4:]}"

    def objects(self, home: str) -> Iterator[Object]:
        from meshkit.operations.release.rights import rights_to_ask
        from meshkit.operations.rights.roles import role_objects

        verb: Verb = "release" if self.part == "runner" else "guardian"
        yield obj(_ACCOUNT, self.name, home)
        account = f"{home}/{self.name}"
        besides = rights_to_ask(self.planned.release) if self.part == "runner" else ()
        name, mesh = f"meshkit-{self.name}", self.planned.mesh
        roles = role_objects(verb, mesh, account=account, name=name, besides=besides)
        yield from (item for item in roles if item["kind"] != NAMESPACE.kind)
        if self.part == "runner":
            text = json.dumps({"kind": "Release", **self.planned.release.model_dump(mode="json")})
            yield obj(_CONFIG_MAP, self.job, home, data={FILE: text})
        yield self._job(home)

    def _job(self, home: str) -> Object:
        from meshkit.meshes import registry

        labels = {
            "app.kubernetes.io/name": "meshkit",
            "app.kubernetes.io/component": self.part,
            "app.kubernetes.io/instance": self.planned.release.name,
        }
        metadata = {"labels": labels}
        for field, given in registry.mesh(self.planned.mesh).injection.opting_out.items():
            metadata[field] = {**metadata.get(field, {}), **given}
        template = {"metadata": metadata, "spec": self._pod()}
        spec = {"backoffLimit": RESTARTS, "ttlSecondsAfterFinished": KEPT_S, "template": template}
        return obj(_JOB, self.job, home, labels=labels, spec=spec)

    def _pod(self) -> Object:
        container: dict[str, Any] = {
            "name": "meshkit",
            "image": self.image,
            "args": list(self.args),
            # Its last lines say why it failed to who may not read logs, too.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": {"requests": {"cpu": "50m", "memory": "160Mi"}, "limits": {"memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
        }
        pod: dict[str, Any] = {
            "serviceAccountName": self.name,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        if self.part == "runner":
            container["volumeMounts"] = [{"name": "release", "mountPath": FOLDER, "readOnly": True}]
            pod["volumes"] = [{"name": "release", "configMap": {"name": self.job}}]
        return pod


def wait_until_runs(made: InCluster, cluster: Cluster, *, patience_s: float = STARTED_S) -> None:
    """Wait until the Job's pod has begun the run, or resumed it.

    Raises ``ReleaseNotStarted`` with the reason that the pod's status gives, after ``patience_s`` seconds or
    once the Job has failed.
    """
    from meshkit.cluster.journal import NAMESPACE as HOME
    from meshkit.operations.release.runner import release_state, runner_of

    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        try:
            state = release_state(made.release.name, cluster)
            if state.change_id == made.change_id and (state.ended or runner_of(made.release, cluster)):
                return
        except UnknownName:
            pass
        job = cluster.api.get(_JOB, made.jobs[0], HOME) or {}
        if any(each["type"] == "Failed" for each in (job.get("status") or {}).get("conditions") or ()):
            break
        time.sleep(0.5)
    why = _why(made, cluster, HOME)
    raise ReleaseNotStarted(
        f"release {made.release.name} did not start as Job {HOME}/{made.jobs[0]}: {why}",
        remedy=f"Read 'kubectl -n {HOME} logs job/{made.jobs[0]}'; its objects stay until they are undone.",
    )


def _why(made: InCluster, cluster: Cluster, home: str) -> str:
    """Why the Job's pod does not run the release, as far as its status says."""
    pods = cluster.api.list(Kind("v1", "Pod"), home, labels=f"job-name={made.jobs[0]}")
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            for state in container.get("state", {}).values():
                if told := " ".join(filter(None, (state.get("reason"), state.get("message")))):
                    return f"{told}."
    return "its pod has not begun." if pods else "it has no pod."
