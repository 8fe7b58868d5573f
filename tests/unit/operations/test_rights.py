"""Rights to install are asked for before, kind by kind; what is missing is one finding that names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from meshkit.errors import Forbidden
from meshkit.facts import Finding, Kind
from meshkit.operations.rights.install import missing_rights

CLIENT_CA = "requestheader-client-ca-file"


@dataclass
class Api:
    """An API server that denies the given rights."""

    refused: set[tuple[str, str]] = field(default_factory=set)
    aggregates: bool = True
    authentication: dict[str, Any] | None = field(default_factory=lambda: {"data": {CLIENT_CA: "PEM"}})
    hides: bool = False

    def whoami(self) -> str:
        return "ann"

    def allowed(self, verb: str, group: str, resource: str, namespace: str | None = None) -> bool:
        return (verb, resource) not in self.refused

    def resource(self, kind: Kind) -> object | None:
        assert kind.kind == "APIService"
        return object() if self.aggregates else None

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        assert (name, namespace) == ("extension-apiserver-authentication", "kube-system")
        if self.hides:
            raise Forbidden("no.", remedy="Ask.")
        return self.authentication


def found(api: Api, mesh: str) -> list[Finding]:
    cluster: Any = SimpleNamespace(api=api, context="here")
    return list(missing_rights(cluster, mesh, mesh))


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_whoever_may_do_all_hears_nothing(mesh: str) -> None:
    assert found(Api(), mesh) == []


@pytest.mark.parametrize(
    ("mesh", "refused", "message"),
    [
        (
            "istio",
            {("create", "namespaces"), ("create", "roles")},
            "create namespaces; create roles.rbac.authorization.k8s.io",
        ),
        ("linkerd", {("create", "cronjobs")}, "create cronjobs.batch"),
        ("linkerd", {("get", "secrets")}, "get secrets in linkerd"),
        ("istio", {("create", "cronjobs"), ("get", "secrets")}, ""),
    ],
)
def test_missing_rights_are_named(mesh: str, refused: set[tuple[str, str]], message: str) -> None:
    expected = [("MK1404", f"ann may not {message}.")] if message else []
    assert [(one.code, one.message) for one in found(Api(refused), mesh)] == expected


@pytest.mark.parametrize(
    ("api", "codes"),
    [
        (Api(hides=True), ["MK1404"]),
        (Api(authentication=None), ["MK1407"]),
        (Api(authentication={"data": {CLIENT_CA: ""}}), ["MK1407"]),
        (Api(authentication=None, aggregates=False), []),
    ],
)
def test_linkerds_tap_needs_to_know_whom_to_believe(api: Api, codes: list[str]) -> None:
    assert [one.code for one in found(api, "linkerd")] == codes
    assert found(api, "istio") == []
