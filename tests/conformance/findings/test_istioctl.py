"""istioctl analyze and meshkit's checks on the same objects: the files of ``tests/findings/istio``.

istioctl reads them from an API, because from files it does not read pods and Services.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.meshes.definitions import crds
from tests.conformance.findings.objects_api import Api, serving

pytestmark = pytest.mark.conformance
FILES = Path(__file__).parents[2] / "findings" / "istio"
SAID = re.compile(r"# meshkit: [A-Z0-9, ]+ · istioctl: ([A-Z0-9, ]+)(?: · kiali: [A-Z0-9, ]+)?$")
Analyze = Callable[[Path], set[str]]
ATTEMPTS = 6
"""istioctl reads objects in no fixed order: in 2 of 25 runs it said nothing of an EnvoyFilter (IST0155)."""


def objects_of(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def istioctls_codes(path: Path) -> set[str]:
    """The codes of istioctl that the first line of a file names."""
    said = SAID.match(path.read_text().splitlines()[0])
    return {code.strip() for code in said[1].split(",")} if said else set()


CASES = [path for path in sorted(FILES.glob("*.yaml")) if istioctls_codes(path)]


@pytest.fixture(scope="module")
def analyze(part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyze]:
    """Run istioctl analyze on the mesh of the files with the objects of one more: the codes that it says."""
    program, kubeconfig = part("istioctl"), tmp_path_factory.mktemp("istioctl") / "kubeconfig"
    generate = [str(program), "manifest", "generate", "--set", "profile=minimal"]
    made = subprocess.run(generate, capture_output=True, text=True, timeout=60, check=True).stdout
    definitions = [
        each for each in yaml.safe_load_all(made) if each and each["kind"] == "CustomResourceDefinition"
    ]
    with serving([*definitions, *crds("gateway_api")], kubeconfig) as api:
        yield lambda path: _codes(program, kubeconfig, api, path)


def _codes(program: Path, kubeconfig: Path, api: Api, path: Path) -> set[str]:
    objects = [*objects_of(FILES / "mesh.yaml"), *objects_of(path)]
    stored = {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    api.serve(
        [
            {**each, "metadata": {"uid": str(n), **stored, **each["metadata"]}}
            for n, each in enumerate(objects)
        ]
    )
    command = [str(program), "analyze", "-A", "-n", "shop", "--kubeconfig", str(kubeconfig), "--output=json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout, said.stderr
    return {str(each["code"]) for each in json.loads(said.stdout)}


def test_forty_messages_of_istioctl_are_found() -> None:
    assert len({code for path in CASES for code in istioctls_codes(path)}) >= 40


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_istioctl_says_what_the_file_names(analyze: Analyze, path: Path) -> None:
    """``tests/findings`` holds that meshkit finds its code there, so both find the same mistake."""
    expected, said = istioctls_codes(path), set[str]()
    for _ in range(ATTEMPTS):
        said |= analyze(path)
        if expected <= said:
            break
    assert expected <= said


def test_istioctl_has_nothing_to_say_of_the_mesh(analyze: Analyze) -> None:
    assert analyze(FILES / "valid_matches_in_order.yaml") == set()
