"""Malformed and oversized request bodies are refused as kube-apiserver refuses them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

YAML, JSON = "application/yaml", "application/json"
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(kubeconfig: Path) -> Ask:
    """Send raw bytes as the administrator; the code and the answer."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    http = urllib3.PoolManager(ca_cert_data=authority, retries=False)

    def send(method: str, path: str, media_type: str, body: bytes, **more: str) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": media_type, **more}
        answer = http.request(method, f"{cluster['server']}{path}", headers=headers, body=body)
        return answer.status, answer.json()

    return send


def bomb() -> bytes:
    lines = ["k0: &k0 [x]", *(f"k{n}: &k{n} [*k{n - 1}, *k{n - 1}]" for n in range(1, 27))]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("media_type", "body", "code", "reason"),
    [
        (YAML, bomb(), 400, "BadRequest"),
        (YAML, b"kind: &a [*a]", 400, "BadRequest"),
        (YAML, b"? [a, b]\n: 1", 400, "BadRequest"),
        (JSON, b"[" * 100_000, 400, "BadRequest"),
        (JSON, b'{"kind": NaN}', 400, "BadRequest"),
        (JSON, b" " * (4 << 20), 413, "RequestEntityTooLarge"),
        ("text/csv", b"a,b", 415, "UnsupportedMediaType"),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00" + b"\xff" * 100, 400, "BadRequest"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    ask: Ask, media_type: str, body: bytes, code: int, reason: str
) -> None:
    got, answer = ask("POST", REVIEWS, media_type, body)
    assert (got, answer["kind"], answer["reason"]) == (code, "Status", reason), answer["message"][:300]


def test_a_compressed_body_is_not_unpacked(ask: Ask, namespace: str) -> None:
    body = gzip.compress(json.dumps({"metadata": {"name": "c"}}).encode())
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    code, answer = ask("POST", path, JSON, body, **{"Content-Encoding": "gzip"})
    assert (code, answer["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("media_type", "body", "code"),
    [
        (JSON_PATCH, [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10_001, 413),
        (JSON_PATCH, [{"op": "add", "path": "/data", "value": {"a": "x" * 1_000}}]
         + [{"op": "copy", "from": "/data", "path": f"/data/k{n}"} for n in range(40)], 422),
        (JSON_PATCH, [{"op": "remove", "path": "/nowhere"}], 422),
        (JSON_PATCH, {"op": "remove"}, 400),
        (APPLY, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": [{}]}}, 400),
    ],
)  # fmt: skip
def test_a_patch_that_asks_for_too_much_is_refused(
    ask: Ask, namespace: str, media_type: str, body: Any, code: int
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert ask("POST", path, JSON, json.dumps({"metadata": {"name": "c"}}).encode())[0] == 201
    got, answer = ask("PATCH", f"{path}/c?fieldManager=m", media_type, json.dumps(body).encode())
    assert (got, answer["kind"]) == (code, "Status"), answer.get("message")


@pytest.mark.parametrize(
    ("manager", "words"), [("m" * 129, "Too long"), ("a%0Ab", "invalid character U+000A (at position 1)")]
)
def test_a_field_manager_of_no_sense_is_refused(ask: Ask, namespace: str, manager: str, words: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps?fieldManager={manager}"
    code, answer = ask("POST", path, JSON, json.dumps({"metadata": {"name": "c"}}).encode())
    assert (code, words in answer["message"]) == (422, True), answer["message"]
