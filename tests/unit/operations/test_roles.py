"""The roles of the verbs hold what the operations state that they need, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
import yaml

from meshkit.cluster import rights
from meshkit.cluster.rights import Right
from meshkit.errors import UnknownName
from meshkit.kube.kinds import WORKLOADS
from meshkit.meshes import registry
from meshkit.operations.rights.roles import VERBS, Verb, _offline, rights_of, role_objects
from tests.unit.granted import granted
from tests.unit.meshes.golden_cases import CASES, PLANNERS, SHOP

MESHES = pytest.mark.parametrize("mesh", ["istio", "linkerd"])
WRITING = {"create", "patch", "delete", "update"}


@MESHES
@pytest.mark.parametrize("verb", VERBS)
def test_a_role_grants_the_rights_of_its_verb(mesh: str, verb: Verb) -> None:
    objects = role_objects(verb, mesh)
    assert granted(objects) == {tuple(right) for right in rights_of(verb, mesh)}
    assert not any("*" in part for right in granted(objects) for part in right[:3])


@MESHES
def test_every_golden_plan_can_be_applied_and_no_right_is_left_over(mesh: str) -> None:
    row, needed = registry.mesh(mesh), set[Right]()
    for case, (meshes, intent) in CASES.items():
        if mesh in meshes and not case.startswith("control-plane"):
            steps = PLANNERS[mesh].plan(intent, SHOP)
            needed |= {each._replace(namespace=None) for each in rights.of_steps(_offline(row), steps)}
    stated = rights_of("apply", mesh) - rights_of("read", mesh)
    writing = {each for each in stated if each.verb in WRITING and each.namespace is None}
    assert {each for each in needed if each.verb in WRITING} <= writing
    of_workloads = {f"{kind.kind.lower()}s" for kind in WORKLOADS}  # the cases restart Deployments only
    assert {each for each in writing - needed if each.resource not in of_workloads} == set()


@MESHES
def test_whoever_reads_can_change_nothing_and_see_no_secret_of_users(mesh: str) -> None:
    found = rights_of("read", mesh)
    assert {each.verb for each in found} == {"get", "list"}
    assert {each.namespace for each in found if each.resource == "secrets"} == {
        registry.mesh(mesh).control_plane.home
    }


@MESHES
def test_a_plan_cannot_delete_and_a_release_writes_routes_and_records_only(mesh: str) -> None:
    assert "delete" not in {each.verb for each in rights_of("plan", mesh)}
    written = {each.resource for each in rights_of("release", mesh) if each.verb in WRITING}
    assert written - {"configmaps", "leases", "events"} <= {"virtualservices", "httproutes", "grpcroutes"}


def test_bindings_are_for_the_account_and_an_unknown_verb_is_named() -> None:
    objects = role_objects("apply", "istio", account="ci/deployer")
    bindings = [item for item in objects if item["kind"].endswith("Binding")]
    assert {item["subjects"][0]["name"] for item in bindings} == {"deployer"}
    assert len(bindings) == sum(item["kind"] in ("Role", "ClusterRole") for item in objects)
    with pytest.raises(UnknownName):
        role_objects("aply", "istio")  # type: ignore[arg-type]


def test_the_command_prints_yaml_without_a_cluster() -> None:
    command = [sys.executable, "-m", "meshkit", "rights", "read", "--mesh", "linkerd", "--for", "ci/reader"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kinds = [item["kind"] for item in yaml.safe_load_all(done.stdout)]
    assert {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Namespace"} == set(kinds)
    assert get_args(Verb) == VERBS
