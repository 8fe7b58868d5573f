"""Every error of the kubernetes client and of urllib3 has its place in meshkit's tree."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import kubernetes.client.exceptions
import kubernetes.dynamic.exceptions
import pytest
import urllib3.exceptions

from meshkit import errors
from meshkit.cluster.client_errors import translate, translated

NOT_RAISED_BY_REQUESTS = {
    "KubernetesValidateMissing",  # of a feature that is not used
    "ResourceNotFoundError",  # of the client's discovery, which is replaced
    "ResourceNotUniqueError",
}


def exceptions(module: ModuleType) -> Iterator[type[BaseException]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if (
            issubclass(cls, Exception)
            and not issubclass(cls, Warning)
            and cls.__module__.startswith(module.__name__)
        ):
            yield cls


FOREIGN = [
    *exceptions(kubernetes.client.exceptions),
    *exceptions(kubernetes.dynamic.exceptions),
    *exceptions(urllib3.exceptions),
]


@pytest.mark.parametrize(
    "cls",
    [cls for cls in FOREIGN if cls.__name__ not in NOT_RAISED_BY_REQUESTS],
    ids=lambda cls: cls.__name__,
)
def test_every_foreign_error_is_translated(cls: type[BaseException]) -> None:
    error = cls.__new__(cls)
    error.args = ("went wrong",)
    for attribute, value in (("status", 418), ("reason", "teapot"), ("body", None), ("headers", {})):
        error.__dict__.setdefault(attribute, value)
    found = translate(error, "https://cluster")
    assert isinstance(found, errors.ClusterError)
    assert found.remedy


def answer(status: int, **body: Any) -> Exception:
    error = kubernetes.client.exceptions.ApiException(status=status, reason="Because")
    error.body = json.dumps(body)
    return error


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.Rejected),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.Rejected),
        (409, errors.Conflict),
        (410, errors.Rejected),
        (422, errors.Rejected),
        (429, errors.Unreachable),
        (500, errors.ClusterError),
        (503, errors.Unreachable),
        (504, errors.TimedOut),
        (0, errors.Unreachable),
    ],
)
def test_status_decides_the_class(status: int, expected: type[errors.ClusterError]) -> None:
    assert type(translate(answer(status, message="no"), "https://cluster")) is expected


def test_a_rejection_carries_the_fields_that_the_server_named() -> None:
    causes = [{"field": "spec.port", "message": "must be a number", "reason": "FieldValueInvalid"}]
    found = translate(answer(422, message="invalid", details={"causes": causes}), "https://cluster")
    assert isinstance(found, errors.Rejected)
    assert found.causes == (("spec.port", "must be a number"),)


def test_a_conflict_of_owners_names_each_with_its_fields() -> None:
    text = 'conflict with "argocd" using apps/v1'
    causes = [{"message": text, "field": ".spec.a"}, {"message": text, "field": ".spec.b"}]
    body = {"message": "m", "details": {"kind": "deployments", "name": "web", "causes": causes}}
    found = translate(answer(409, **body), "https://cluster")
    assert isinstance(found, errors.Conflict)
    assert found.managers == {"argocd": (".spec.a", ".spec.b")}
    assert str(found).startswith("argocd owns .spec.a, .spec.b")


def test_a_refused_value_is_not_repeated_for_it_may_be_a_secret() -> None:
    told = (
        "failed to create typed patch object (shop/key; /v1, Kind=Secret): .data.token: expected string, "
        "got &value.valueUnstructured{Value:\n31415926}"
    )
    found = translate(answer(500, message=told), "https://cluster")
    assert isinstance(found, errors.Rejected)
    assert ".data.token: expected string" in str(found)
    assert "31415926" not in str(found)


def test_a_body_that_is_not_json_does_no_harm() -> None:
    error = kubernetes.client.exceptions.ApiException(status=403, reason="Forbidden")
    error.body = "<html>"
    assert "Forbidden" in str(translate(error, "https://cluster"))


def test_bugs_and_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError), translated("https://cluster"):
        raise KeyError("bug")
    with pytest.raises(errors.Conflict, match="mine"), translated("https://cluster"):
        raise errors.Conflict("mine", remedy="")
