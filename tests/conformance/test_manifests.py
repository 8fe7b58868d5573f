"""Every object that meshkit's planners make is what the real parts accept: the API server with the real
definitions, ``istioctl validate`` and ``analyze``, and istiod's validating webhook.

The plans are those of the golden files, so an intent that is golden is here; the last test keeps an intent
that is registered from having no golden plan.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import Rejected
from meshkit.facts import Object
from meshkit.intent.document import KINDS
from meshkit.meshes.registry import MESHES
from tests.conformance.cluster import RealCluster
from tests.conformance.definitions import serve
from tests.conformance.golden import steps_of, whole
from tests.conformance.istiod import running_istiod
from tests.unit.meshes.golden_cases import CASES, SHOP

PLANS = [(mesh, case) for case, (meshes, _) in CASES.items() for mesh in meshes]
NOT_PLANNED = {"Release", "ReleaseTrain"}  # they are run, step by step: routes are patched in place
NAMESPACES = ("shop", "tests", "istio-system", "linkerd")


@pytest.fixture(scope="module")
def cluster(real_cluster: RealCluster) -> Cluster:
    """The real API server with the meshes' definitions and what the golden plans start from."""
    found = connect(kubeconfig=real_cluster.kubeconfig)
    definitions = {crd["metadata"]["name"]: crd for mesh in MESHES.values() for crd in mesh.crds()}
    serve(found.api, list(definitions.values()))
    for name in NAMESPACES:
        meta = {"name": name}
        found.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}, manager="conformance")
    for obj in SHOP.objects:
        if obj["kind"] in ("Service", "Deployment"):
            found.api.apply(whole(obj), manager="conformance")
    return found


def accepted(cluster: Cluster, mesh: str, case: str) -> None:
    """Each step dry-run on the server, as a plan does: admission and validation run, nothing is stored."""
    warnings: list[str] = []
    for step in steps_of(mesh, case):
        cluster.api.apply(
            step.object, dry_run=True, force=True, manager=step.manager, on_warning=warnings.append
        )
    assert warnings == []


@pytest.mark.parametrize(("mesh", "case"), PLANS)
def test_the_api_server_accepts_every_object(cluster: Cluster, mesh: str, case: str) -> None:
    accepted(cluster, mesh, case)


def test_the_api_server_is_strict(cluster: Cluster) -> None:
    """What this suite would miss if the server were lenient."""
    step = next(step for step in steps_of("istio", "route") if step.kind.kind == "VirtualService")
    wrong = {**step.object, "spec": {**step.object["spec"], "htpp": []}}
    with pytest.raises(Rejected, match="htpp"):
        cluster.api.apply(wrong, dry_run=True, force=True)


@pytest.fixture
def istioctl(part: Callable[[str], Path], tmp_path: Path) -> Callable[..., str]:
    """Run istioctl on the objects of a plan; what it says if it is content."""
    program = part("istioctl")

    def run(objects: list[Object], *words: str) -> str:
        manifest = tmp_path / "manifest.yaml"
        manifest.write_text(yaml.safe_dump_all([json.loads(json.dumps(each)) for each in objects]))
        said = subprocess.run(
            [program, *words, str(manifest)], capture_output=True, text=True, timeout=60, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout + said.stderr

    return run


def istio_objects(case: str) -> list[Object]:
    return [step.object for step in steps_of("istio", case) if ".istio.io/" in step.kind.api_version]


ISTIO_CASES = [case for mesh, case in PLANS if mesh == "istio" and istio_objects(case)]


@pytest.mark.parametrize("case", ISTIO_CASES)
def test_istioctl_validates_every_object(istioctl: Callable[..., str], case: str) -> None:
    assert "is valid" in istioctl(istio_objects(case), "validate", "-f")


@pytest.mark.parametrize("case", ISTIO_CASES)
def test_istioctl_finds_nothing_to_say_about_a_plan(istioctl: Callable[..., str], case: str) -> None:
    """With the Services that the plan starts from, as it would be on the cluster."""
    around = [whole(obj) for obj in SHOP.objects if obj["kind"] in ("Service", "Deployment")]
    around.append({"apiVersion": "v1", "kind": "Namespace", "metadata": labelled("shop")})
    said = istioctl([*istio_objects(case), *around], "analyze", "--use-kube=false", "--namespace=shop")
    assert "No validation issues found" in said, said


def labelled(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"istio-injection": "enabled"}}


@pytest.fixture(scope="module")
def istiod(cluster: Cluster, real_cluster: RealCluster) -> Iterator[Cluster]:
    """The same API server while istiod validates."""
    with running_istiod(real_cluster):
        yield cluster


@pytest.mark.parametrize("case", ISTIO_CASES)
def test_istiod_accepts_every_object(istiod: Cluster, case: str) -> None:
    accepted(istiod, "istio", case)


def test_istiod_is_asked(istiod: Cluster) -> None:
    """A VirtualService that only Istio's own validation refuses: no definition's schema sees it."""
    wrong = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "wrong", "namespace": "shop"},
        "spec": {"hosts": ["web"], "http": [{"name": "nowhere", "timeout": "1s"}]},
    }
    with pytest.raises(Rejected, match=r"validation\.istio\.io"):
        istiod.api.apply(wrong, dry_run=True)


def test_every_intent_has_a_golden_plan() -> None:
    assert {type(intent).__name__ for _, intent in CASES.values()} == set(KINDS) - NOT_PLANNED
