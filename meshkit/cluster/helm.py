"""Releases of Helm charts, with the same methods that ``api.py`` has for objects. Only this module runs Helm.

A release is represented as an object whose fields are the rendered objects of the chart. So a plan shows its
differences field by field, the journal records it, and an undo detects later changes by others. Secrets and
random values of charts (certificates, checksums) are left out. Releases are visible to ``helm ls`` and can be
managed with Helm directly at any time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from meshkit import settings
from meshkit.cluster.api import MANAGER, Api
from meshkit.cluster.client_errors import helm_failure
from meshkit.cluster.connect import Cluster, environment_for
from meshkit.cluster.diff import content
from meshkit.cluster.ready import wait_for as wait_for_object
from meshkit.errors import BadInput, ClusterError, Conflict
from meshkit.facts import Kind, Object
from meshkit.kube.compressed import unpacked
from meshkit.kube.helm import RELEASE, WAIT_S
from meshkit.kube.metadata import title
from meshkit.kube.steps import Wait
from meshkit.meshes import registry

OLDEST = (3, 14)
"""``helm get metadata`` came with 3.14, ``--dry-run=server`` with 3.13."""
HISTORY = "history"
"""The field of a complete release with Helm's own record of it, including secrets."""
_SECRET = Kind("v1", "Secret")
_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
_GRACE_S = 60.0
STATUS = "status"
"""The field of a release that Helm's last operation on it has not deployed, with its state: ``failed``."""
_DEPLOYED = "deployed"
_FORCE = "--force-conflicts"
"""Helm's option to take over fields. Helm 3 has none, as it applies without conflicts."""
_DIRECT = ("oci://", "http://", "https://")


def client_for(cluster: Cluster, kind: Kind) -> Api | Helm:
    """The client that gets, applies and deletes objects of a kind: Helm for releases, else the API client."""
    return Helm(cluster) if kind == RELEASE else cluster.api


def wait_for(
    cluster: Cluster, kind: Kind, name: str, namespace: str | None, wait: Wait
) -> Mapping[str, Any] | None:
    """Wait for an object and return it.

    For a release, wait for the CA of its webhooks, as Helm waits for the rest, and return nothing.
    """
    if kind != RELEASE:
        return wait_for_object(cluster.api, kind, name, namespace, wait)
    release = Helm(cluster).get(kind, name, namespace) or {"spec": {"objects": {}}}
    for each in release["spec"]["objects"].values():
        if each["kind"] == _WEBHOOK.kind:
            wait_for_object(cluster.api, _WEBHOOK, each["metadata"]["name"], None, wait)
    return None


class Helm:
    """The releases of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return the release, or None. Raises ``Conflict`` while another Helm operation is pending."""
        found = self._run("get", "metadata", name, "--output=json", namespace=namespace, may_fail=True)
        if found is None:
            return None
        about = json.loads(found)
        if str(about["status"]).startswith("pending"):
            raise Conflict(
                f"Release {namespace}/{name} is in state {about['status']}.",
                remedy=f"Wait for that helm; if it was interrupted: 'helm rollback {name} -n {namespace}'.",
            )
        manifest = self._run("get", "manifest", name, namespace=namespace) or ""
        chart = f"{about['chart']} {about['version']}"
        release = _release(name, namespace, chart, manifest, int(about["revision"]))
        if about["status"] != _DEPLOYED:
            release["spec"][STATUS] = about["status"]
        return release

    def apply(
        self,
        obj: Object,
        *,
        dry_run: bool = False,
        force: bool = False,
        manager: str = MANAGER,
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Install or upgrade a release, wait until it is ready, and return it (or the result of a dry run).

        Raises ``Conflict`` if its revision is not the pinned one, ``BadInput`` for a missing or untested
        chart, and ``ClusterError`` with Helm's message.
        """
        name, namespace, spec = obj["metadata"]["name"], obj["metadata"]["namespace"], obj["spec"]
        self._require_pinned(obj)
        upgrade = ["upgrade", name, *_chart(spec), "--install", f"--namespace={namespace}", "--values=-"]
        values = json.dumps(spec["values"])
        shown = self._run(*upgrade, "--dry-run=server", "--output=json", given=values) or "{}"
        found = json.loads(shown)
        about = found["chart"]["metadata"]
        chart = f"{about['name']} {about['version']}"
        after = _release(name, namespace, chart, found["manifest"], int(found["version"]))
        if not dry_run:
            self._run_over(upgrade, values, force=force)
        return after

    def rendered(self, obj: Object) -> list[dict[str, Any]]:
        """All objects of a chart, including hooks and definitions, rendered without the cluster."""
        name, namespace, spec = obj["metadata"]["name"], obj["metadata"]["namespace"], obj["spec"]
        words = ["template", name, *_chart(spec), "--include-crds", "--skip-tests", "--values=-"]
        text = self._run(*words, namespace=namespace, given=json.dumps(spec["values"])) or ""
        return [each for each in yaml.load_all(text, Loader=_LOADER) if each]

    def require_chart(self, obj: Object) -> None:
        """Raise ``BadInput`` for a missing chart or an untested version."""
        about = yaml.safe_load(self._run("show", "chart", *_chart(obj["spec"])) or "")
        _require_tested(obj["metadata"]["name"], str(about["version"]), obj["spec"]["tested"])

    def delete(self, kind: Kind, name: str, namespace: str | None = None, uid: str | None = None) -> None:
        """Uninstall a release and wait until its objects are gone, except those with resource policy keep."""
        self._run("uninstall", name, "--ignore-not-found", *_waiting(), namespace=namespace)

    def whole(self, release: Object) -> dict[str, Any]:
        """A release with Helm's record of it, which ``bring_back`` needs."""
        meta = release["metadata"]
        labels = f"owner=helm,name={meta['name']},version={meta['resourceVersion']}"
        found = self._cluster.api.list(_SECRET, meta["namespace"], labels=labels)
        return {**release, HISTORY: [content(each) for each in found]}

    def bring_back(self, release: Object) -> None:
        """Restore a deleted release from its record, and wait until it is ready."""
        meta = release["metadata"]
        for record in release[HISTORY]:
            if self._cluster.api.get(_SECRET, record["metadata"]["name"], meta["namespace"]) is None:
                self._cluster.api.create(record)
        self.roll_back(meta["name"], meta["namespace"], meta["resourceVersion"])

    def bring_back_rest(self, release: Object, live: Object) -> bool:
        """Finish the restoration of a deleted release that was interrupted; return whether any was left.

        A finished restoration has made a new revision, which is deployed.
        """
        if STATUS not in live["spec"] and _number(live) > _number(release):
            return False
        self.bring_back(release)
        return True

    def roll_back(self, name: str, namespace: str, revision: str) -> None:
        """Roll back to a revision, which creates a new revision, and wait until it is ready.

        Raises ``Conflict`` if others than the control planes themselves own a field that it would change.
        """
        self._run_over(("rollback", name, revision, f"--namespace={namespace}"))

    def _run_over(self, words: Sequence[str], values: str | None = None, *, force: bool = False) -> None:
        """Run a command that applies a chart, over the fields that control planes write into their charts.

        Helm 4 applies server-side. istiod owns the failurePolicy of its chart's webhooks, and sets it again.
        """
        command = (*words, *_waiting())
        try:
            self._run(*command, given=values)
        except Conflict as conflict:
            owners = set(conflict.managers)
            if not owners or not (force or owners <= registry.writers()):
                raise
            self._run(*command, _FORCE, given=values)

    def _require_pinned(self, obj: Object) -> None:
        pinned = obj["metadata"].get("resourceVersion")
        if pinned is None:
            return
        live = self.get(RELEASE, obj["metadata"]["name"], obj["metadata"]["namespace"])
        if live is None or live["metadata"]["resourceVersion"] != pinned:
            raise Conflict(f"{title(obj)} has a newer revision than the plan.", remedy="Plan again.")

    def _run(
        self,
        *words: str,
        namespace: str | None = None,
        given: str | None = None,
        may_fail: bool = False,
    ) -> str | None:
        """Run Helm and return its output; None if it fails and ``may_fail`` is set."""
        command = [program(), *words]
        if self._cluster.kubeconfig is not None:
            command.append(f"--kube-context={self._cluster.context}")
        if namespace:
            command.append(f"--namespace={namespace}")
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                check=False,
                timeout=WAIT_S + _GRACE_S,
                env=environment_for(self._cluster),
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"helm {words[0]} did not end in {error.timeout:g} s.", remedy="Look at the pods' events."
            ) from error
        if done.returncode == 0:
            return done.stdout
        if may_fail and "not found" in done.stderr:
            return None
        raise helm_failure(words, done.stderr)


def program() -> str:
    """The Helm program to run. Raises ``BadInput`` if there is none or its version is too old."""
    found = settings.helm()
    if found is None:
        raise BadInput(
            "helm",
            "installing charts requires Helm, and there is no helm on PATH.",
            remedy="Install Helm 3.14 or later, or name it in $MESHKIT_HELM.",
        )
    version = _version(found)
    if version < OLDEST:
        text = ".".join(map(str, version))
        raise BadInput("helm", f"{found} is Helm {text}.", remedy="Install Helm 3.14 or later.")
    return found


_versions: dict[str, tuple[int, ...]] = {}


def _version(helm: str) -> tuple[int, ...]:
    """The version of a Helm program; cached."""
    if helm not in _versions:
        try:
            output = subprocess.run(
                [helm, "version", "--template={{.Version}}"],
                capture_output=True, text=True, check=False, timeout=_GRACE_S,
            ).stdout  # fmt: skip
        except OSError as error:
            raise BadInput("helm", f"{helm} cannot be run: {error}.", remedy="Correct the path.") from error
        numbers = re.match(r"v(\d+)\.(\d+)", output)
        if numbers is None:
            raise BadInput("helm", f"{helm} does not print a version of Helm.", remedy="Correct the path.")
        _versions[helm] = tuple(int(number) for number in numbers.groups())
    return _versions[helm]


def installed(cluster: Cluster) -> list[dict[str, Any]]:
    """All releases in a cluster, read without Helm: name, namespace and Chart.yaml.

    Secrets that have Helm's label and are none of its records are left out.
    """
    newest: dict[tuple[str, str], Object] = {}
    for secret in cluster.api.list(_SECRET, labels="owner=helm"):
        labels = secret["metadata"]["labels"]
        if _revision(secret) > 0 and "name" in labels:
            key = (secret["metadata"]["namespace"], labels["name"])
            newest[key] = max(newest.get(key, secret), secret, key=_revision)
    return [
        {
            "apiVersion": RELEASE.api_version,
            "kind": RELEASE.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"chart": chart},
        }
        for (namespace, name), secret in newest.items()
        if (chart := _chart_of(secret))
    ]


def _revision(record: Object) -> int:
    """The number of a release's record, 0 if it has none."""
    number = str(record["metadata"]["labels"].get("version", ""))
    return int(number) if number.isdecimal() else 0


def _chart_of(record: Object) -> dict[str, Any] | None:
    """Chart.yaml from Helm's record of a release, compressed JSON in base64, or None if it is no record."""
    try:
        found = json.loads(unpacked(base64.b64decode(record["data"]["release"])))["chart"]["metadata"]
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("name"), str) else None


def _waiting() -> tuple[str, str]:
    return "--wait", f"--timeout={WAIT_S:g}s"


def _chart(spec: Mapping[str, Any]) -> list[str]:
    """Helm's arguments for a chart in a registry, repository or directory."""
    source, (name, *_) = spec["source"], spec["directories"]
    version = [f"--version={spec['version']}"] if spec["version"] else []
    if source.startswith("oci://"):
        return [f"{source.rstrip('/')}/{name}", *version]
    if source.startswith(_DIRECT):
        return [name, f"--repo={source}", *version]
    return [str(_directory(source, spec["directories"]))]


def _directory(source: str, places: Sequence[str]) -> Path:
    folder = settings.expanded("chart", source)
    for place in places:
        if (folder / place / "Chart.yaml").is_file():
            return folder / place
    raise BadInput(
        "control_plane.charts",
        f"{folder} holds no chart {' or '.join(places)}.",
        remedy="Name the directory that holds the mesh's charts.",
    )


def _require_tested(name: str, version: str, tested: Sequence[str]) -> None:
    if tested and not version.startswith(tuple(tested)):
        raise BadInput(
            "control_plane.charts",
            f"the chart of {name} is version {version}; meshkit is tested with"
            f" {', '.join(f'{each}*' for each in tested)}.",
            remedy="Take one of these, or set untested=True.",
        )


def _release(name: str, namespace: str | None, chart: str, manifest: str, revision: int) -> dict[str, Any]:
    objects = [each for each in yaml.load_all(manifest, Loader=_LOADER) if each]
    return {
        "apiVersion": RELEASE.api_version,
        "kind": RELEASE.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"{namespace}/{name}",
            "resourceVersion": str(revision),
        },
        "spec": {"chart": chart, "objects": {title(each): _comparable(each) for each in objects}},
    }


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """An object of a chart without secret and random values; a hash for a definition, which is long."""
    if obj["kind"] == "CustomResourceDefinition":
        text = json.dumps(obj.pop("spec"), sort_keys=True, default=str)
        obj["spec"] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    if obj["kind"] == "Secret":
        for field in ("data", "stringData"):
            if obj.get(field):
                obj[field] = dict.fromkeys(obj[field], "(secret)")
    for hook in obj.get("webhooks") or ():
        hook.get("clientConfig", {}).pop("caBundle", None)
        if obj["kind"] == "ValidatingWebhookConfiguration":
            # istiod changes it once it answers, and its charts keep what they find.
            hook.pop("failurePolicy", None)
    template = (obj.get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    for key in [key for key in annotations if key.startswith("checksum/")]:
        del annotations[key]
    plain: dict[str, Any] = json.loads(json.dumps(obj, default=str))
    return plain


def settled(one: Object | None) -> Object | None:
    """An object as Helm is to have it: a release without its state and history; other objects as they are."""
    if one is None or one["kind"] != RELEASE.kind:
        return one
    spec = {key: value for key, value in one["spec"].items() if key != STATUS}
    return {**without_history(one), "spec": spec}


def without_history(one: Object) -> dict[str, Any]:
    """An object without Helm's own record of it, which only a complete release has."""
    return {key: value for key, value in one.items() if key != HISTORY}


def _number(release: Object) -> int:
    return int(release["metadata"]["resourceVersion"])
