"""No request keeps the API server from answering others, and every refusal is a Status."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox_api.conftest import WIDGETS
from tests.unit.sandbox_api.patch_types import (
    APPLY,
    JSON_PATCH,
    MERGE_PATCH,
    PATCHES,
    STRATEGIC_PATCH,
    typed,
)
from tests.unit.sandbox_api.server import CM, Connection, run
from tests.unit.sandbox_api.yaml_bombs import doubling

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/example.com/v1/namespaces/default/things"
PODS = "/api/v1/namespaces/default/pods"


async def account(to: Connection) -> dict[str, str]:
    """The headers of an account without any right."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await to.request("POST", accounts, json={"metadata": {"name": "nobody"}})
    _, answer, _ = await to.request("POST", f"{accounts}/nobody/token", json={})
    return {"Authorization": f"Bearer {answer['status']['token']}"}


async def while_others_ask(to: Connection, request: Awaitable[Any]) -> tuple[Any, int]:
    """The answer to a request, and how many other requests were answered until it came."""
    await to.request("POST", CM, json={"metadata": {"name": "other"}})
    answered = 0
    pending = asyncio.ensure_future(request)
    while not pending.done():
        code, _, _ = await to.request("GET", f"{CM}/other")
        assert code == 200
        answered += 1
    return await pending, answered


def thing(schema: dict[str, Any]) -> dict[str, Any]:
    """A CustomResourceDefinition whose objects have a spec of this schema."""
    definition = copy.deepcopy(WIDGETS)
    definition["metadata"]["name"] = "things.example.com"
    definition["spec"]["names"] = {"plural": "things", "kind": "Thing"}
    root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["properties"] = {"spec": {"type": "object", **schema}}
    return definition


@pytest.mark.parametrize("media_type", ["application/yaml", "application/json"])
def test_a_bomb_of_aliases_from_an_account_without_rights_is_refused(tmp_path: Path, media_type: str) -> None:
    async def scenario(to: Connection) -> None:
        headers = typed(media_type, **await account(to))
        code, body, _ = await to.request("POST", REVIEWS, data=doubling("[x]", "[*, *]"), headers=headers)
        assert (code, body["kind"], body["reason"]) == (400, "Status", "BadRequest")
        assert (await to.request("GET", CM))[0] == 200

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "media_type", "data", "code"),
    [
        ("POST", CM, "application/yaml", b"metadata: {name: c}\nodd: [" + b"a," * 40_000 + b"a]", 201),
        ("POST", CM, "application/json",
         json.dumps({"metadata": {"name": "c"}, "data": {f"k{n}": "" for n in range(20_000)}}).encode(), 201),
        ("PATCH", f"{CM}/c?fieldManager=m", APPLY,
         json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
                     "data": {f"k{n}": "" for n in range(20_000)}}).encode(), 201),
        ("PATCH", f"{CM}/other", STRATEGIC_PATCH,
         json.dumps({"metadata": {"finalizers": [f"a/{n}" for n in range(20_000)]}}).encode(), 200),
        ("PATCH", f"{CM}/other", JSON_PATCH,
         json.dumps([{"op": "add", "path": "/data", "value": {"a": "b"}}] +
                    [{"op": "move", "from": "/data", "path": "/x"},
                     {"op": "move", "from": "/x", "path": "/data"}] * 4_000).encode(), 200),
    ],
)  # fmt: skip
def test_others_are_answered_while_a_large_body_is_worked_on(
    tmp_path: Path, method: str, path: str, media_type: str, data: bytes, code: int
) -> None:
    async def scenario(to: Connection) -> None:
        request = to.request(method, path, data=data, headers=typed(media_type))
        answer, answered = await while_others_ask(to, request)
        assert answer[0] == code, answer[1]
        assert answered >= 5

    run(scenario, tmp_path)


async def _in_chunks(whole: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(whole), 1 << 16):
        yield whole[start : start + (1 << 16)]


@pytest.mark.parametrize("data", [lambda: b" " * (4 << 20), lambda: _in_chunks(b" " * (4 << 20))])
def test_a_body_of_more_than_three_mebibytes_is_refused(tmp_path: Path, data: Callable[[], Any]) -> None:
    async def scenario(to: Connection) -> None:
        code, body, _ = await to.request("POST", CM, data=data())
        assert (code, body["reason"]) == (413, "RequestEntityTooLarge")
        assert body["message"] == "Request entity too large: limit is 3145728"

    run(scenario, tmp_path)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_not_unpacked(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    async def scenario(to: Connection) -> None:
        data = pack(json.dumps({"metadata": {"name": "c"}}).encode())
        headers = typed("application/json", **{"Content-Encoding": encoding})
        code, body, _ = await to.request("POST", CM, data=data, headers=headers)
        assert (code, body["reason"]) == (400, "BadRequest")

    run(scenario, tmp_path)


def test_an_object_nested_to_the_bound_passes_every_step(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        await to.request("POST", DEFINITIONS, json=WIDGETS)
        deep: dict[str, Any] = {}
        for _ in range(96):
            deep = {"a": deep}
        widget = {"metadata": {"name": "w"}, "spec": {"size": 1, "free": deep}}
        widgets = "/apis/example.com/v1/namespaces/default/widgets"
        assert (await to.request("POST", widgets, json=widget))[0] == 201
        config = {"apiVersion": "example.com/v1", "kind": "Widget", **widget}
        for media_type, data in ((APPLY, config), (MERGE_PATCH, {"spec": {"free": deep}})):
            body = json.dumps(data).encode()
            path = f"{widgets}/w?fieldManager=m&force=true"
            code, answer, _ = await to.request("PATCH", path, data=body, headers=typed(media_type))
            assert code == 200, answer
        code, stored, _ = await to.request("GET", f"{widgets}/w")
        assert (code, stored["spec"]["free"]) == (200, deep)
        deeper = json.dumps(
            [{"op": "copy", "from": "/spec", "path": "/spec/free" + "/a" * 30 + "/b"}]
        ).encode()
        code, body, _ = await to.request("PATCH", f"{widgets}/w", data=deeper, headers=typed(JSON_PATCH))
        assert (code, "max depth" in body["message"]) == (400, True)

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    ("schema", "spec", "code", "words"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}, {"a": "a" * 60 + "!"},
         422, "should match"),
        ({"properties": {"a": {"type": "string", "pattern": "^(.*a.{300}){10}[^ab]$"}}}, {"a": "ab" * 9_000},
         422, "Too long"),
        ({"properties": {"a": {"type": "array", "items": {"type": "integer"}}},
          "x-kubernetes-validations": [{"rule": "self.a.all(x, self.a.all(y, self.a.all(z, x + y < z)))"}]},
         {"a": [1] * 1_000}, 422, "no further validation rules will be run due to call cost exceeds limit"),
        ({"properties": {"a": {"type": "array", "items": {"type": "string"}}},
          "x-kubernetes-validations": [{"rule": "self.a" + ".map(x, x + x)" * 60 + ".size() > 0"}]},
         {"a": ["x"]}, 422, "call cost exceeds limit"),
        ({"properties": {"a": {"type": "array", "items": {"type": "object", "properties": {
            "b": {"type": "string", "default": "x" * 500_000}}}}}},
         {"a": [{}] * 1_000}, 413, "too long to validate"),
        ({"properties": {"a": {"type": "array", "items": {
            "type": "integer", "anyOf": [{"enum": [n]} for n in range(2_000)]}}}},
         {"a": [-1] * 2_000}, 413, "too long to validate"),
    ],
)  # fmt: skip
def test_what_a_definition_asks_of_its_objects_is_bounded(
    tmp_path: Path, schema: dict[str, Any], spec: dict[str, Any], code: int, words: str
) -> None:
    async def scenario(to: Connection) -> None:
        created, body, _ = await to.request("POST", DEFINITIONS, json=thing(schema))
        assert created == 201, body
        got, body, _ = await to.request("POST", THINGS, json={"metadata": {"name": "t"}, "spec": spec})
        assert (got, words in body["message"]) == (code, True), body["message"][:300]

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    "rule", ["1" + " + 1" * 50_000 + " > 0", "(" * 20_000 + "true" + ")" * 20_000, "self.a.matches(self.b)"]
)
def test_a_rule_that_cannot_be_read_safely_is_told_and_not_evaluated(tmp_path: Path, rule: str) -> None:
    async def scenario(to: Connection) -> None:
        schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
        definition = thing({**schema, "x-kubernetes-validations": [{"rule": rule}]})
        code, _, headers = await to.request("POST", DEFINITIONS, json=definition)
        assert code == 201
        assert "is not evaluated by the sandbox" in headers["Warning"]
        thing_of_it = {"metadata": {"name": "t"}, "spec": {"a": "x", "b": "(a+)+$"}}
        assert (await to.request("POST", THINGS, json=thing_of_it))[0] == 201

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"a": {"type": "text"}}}, 'Unsupported value: "text"'),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "$ref is not supported"),
        ({"properties": {"a": {"type": "array", "items": [{"type": "string"}]}}}, "must be a schema object"),
    ],
)
def test_a_definition_with_a_schema_that_means_nothing_is_refused(
    tmp_path: Path, schema: dict[str, Any], words: str
) -> None:
    async def scenario(to: Connection) -> None:
        code, body, _ = await to.request("POST", DEFINITIONS, json=thing(schema))
        assert (code, words in body["message"]) == (422, True), body["message"]

    run(scenario, tmp_path)


def test_a_quantity_beyond_everything_is_stored_or_refused(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        for written, code in (("1e999999999", 201), ("1e-999999999", 201), ("1" * 100_000 + "x", 422)):
            container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": written}}}
            pod = {"metadata": {"generateName": "p-"}, "spec": {"containers": [container]}}
            assert (await to.request("POST", PODS, json=pod))[0] == code

    run(scenario, tmp_path)


SHAPES: list[Any] = [
    None, True, 1, 1.5, "x", [], [1], {"spec": 1}, {"spec": [1]}, {"metadata": 1}, {"metadata": {"name": 1}},
    {"metadata": {"name": "x", "labels": [1]}}, {"metadata": {"name": "x", "annotations": {"a": 1}}},
    {"metadata": {"name": "x", "managedFields": [1]}},
    {"metadata": {"name": "x", "managedFields": [{"fieldsV1": {"k:x": {}}}]}},
    {"metadata": {"name": "x", "ownerReferences": [1]}}, {"metadata": {"name": "x", "finalizers": 1}},
    {"deleteOptions": 1}, {"preconditions": 1}, {"gracePeriodSeconds": "x"}, {"gracePeriodSeconds": 1e300},
    {"spec": {"replicas": 1e300}}, {"spec": {"token": 1}}, {"spec": {"boundObjectRef": 1}},
    {"spec": {"expirationSeconds": 1e300}}, {"spec": {"resourceAttributes": 1}}, {"spec": {"groups": 1}},
    {"spec": {"containers": [1]}}, {"spec": {"containers": [{}]}}, {"spec": {"selector": 1}},
    {"data": {"a": 1}}, {"data": [1]}, {"rules": [1]}, {"rules": 1}, {"webhooks": [1]}, {"webhooks": [{}]},
    {"spec": {"group": 1, "versions": [1]}}, {"spec": {"names": 1, "versions": []}},
]  # fmt: skip
PLACES = [
    ("POST", CM), ("PUT", f"{CM}/other"), ("DELETE", f"{CM}/missing"), ("DELETE", CM), ("POST", PODS),
    ("POST", "/apis/apps/v1/namespaces/default/deployments"), ("POST", DEFINITIONS), ("POST", REVIEWS),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"), ("POST", "/api/v1/namespaces"),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
    ("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"),
    ("POST", "/apis/batch/v1/namespaces/default/jobs"), ("POST", "/api/v1/namespaces/default/services"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token"),
    ("POST", f"{PODS}/p/eviction"), ("PUT", "/apis/apps/v1/namespaces/default/deployments/web/scale"),
    ("PUT", "/api/v1/namespaces/default/finalize"), ("PUT", f"{PODS}/p/status"),
    ("POST", "/apis/example.com/v1/namespaces/default/widgets"),
]  # fmt: skip


def test_no_shape_of_a_body_is_an_internal_error(tmp_path: Path, api: Any) -> None:
    async def scenario(to: Connection) -> None:
        await to.request("POST", DEFINITIONS, json=WIDGETS)
        await to.request("POST", CM, json={"metadata": {"name": "other"}, "data": {"a": "b"}})
        await to.request("POST", "/apis/apps/v1/namespaces/default/deployments", json=api.deployment())
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.request("POST", PODS, json=pod)
        await to.request(
            "POST", "/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "default"}}
        )
        requests = [
            (method, path, "application/json", shape) for method, path in PLACES for shape in SHAPES
        ] + [("PATCH", f"{CM}/other?fieldManager=m", media_type, patch) for media_type, patch in PATCHES]
        failed = []
        for method, path, media_type, shape in requests:
            query = ("&" if "?" in path else "?") + "dryRun=All"
            code, body, _ = await to.request(
                method, path + query, data=json.dumps(shape).encode(), headers=typed(media_type)
            )
            internal = isinstance(body, str) or body.get("reason") == "InternalError"
            if internal:
                failed.append((method, path, media_type, shape, code, body))
        assert not failed

    run(scenario, tmp_path)


def test_the_scheme_of_a_token_is_read_in_any_case(tmp_path: Path) -> None:
    """As Kubernetes does (RFC 7235); the Python client writes ``bearer`` where it uses a pod's account."""

    async def scenario(to: Connection) -> None:
        token = to.home.token.read_text()
        for scheme, expected in (("bearer", 200), ("BEARER", 200), ("basic", 401)):
            code, _, _ = await to.request("GET", CM, headers={"Authorization": f"{scheme} {token}"})
            assert code == expected, scheme

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (CM, {"Authorization": "Bearer \udcff"}),
        (f"{CM}?fieldManager={'m' * 129}", {}),
        (f"{CM}?fieldManager=a%0Ab", {}),
    ],
)
def test_odd_headers_and_parameters_of_a_write_are_refused(
    tmp_path: Path, path: str, headers: dict[str, str]
) -> None:
    async def scenario(to: Connection) -> None:
        code, body, _ = await to.request("POST", path, json={"metadata": {"name": "c"}}, headers=headers)
        assert code in (401, 422), body
        assert body["kind"] == "Status"

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    "query",
    [
        "labelSelector=" + ",".join(f"!a{n}" for n in range(1_100)),
        "limit=" + "9" * 5_000,
        "limit=" + "9" * 30,
        "resourceVersion=" + "9" * 5_000,
        "continue=" + "W1tb" * 1_500,
    ],
)
def test_parameters_of_a_list_that_mean_too_much_are_refused(tmp_path: Path, query: str) -> None:
    async def scenario(to: Connection) -> None:
        code, body, _ = await to.request("GET", f"{CM}?{query}")
        assert (code, body["reason"]) == (400, "BadRequest")

    run(scenario, tmp_path)


def test_warnings_are_cut_and_those_that_fit_no_header_are_left_out(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        many = {f"odd{n}{'x' * 300}": 1 for n in range(1_000)}
        code, _, headers = await to.request("POST", CM, json={"metadata": {"name": "c"}, **many})
        assert code == 201
        assert 0 < sum(map(len, headers.getall("Warning"))) < 5_000
        code, _, headers = await to.request("POST", CM, json={"metadata": {"name": "d"}, "a\nb": 1, "odd": 1})
        assert (code, headers.getall("Warning")) == (201, ['299 - "unknown field \\"odd\\""'])

    run(scenario, tmp_path)


STRANGE = (
    b"\xff\xfe\x00\x01\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ed%a0%80?watch=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer e30.W10.x\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
    b"GET /api HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n",
    b"GET /api/v1/pods HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nImpersonate-User: \xff\r\n\r\n",
    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api HTTP/1.1\r\nContent-Type: text; charset=\xe9\r\nContent-Length: 1\r\n\r\n{",
    b"GET /api HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
)


@pytest.mark.parametrize("sent", STRANGE, ids=range(len(STRANGE)))
def test_no_bytes_of_a_stranger_cause_an_internal_error_or_fill_the_log(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(to: Connection) -> None:
        context = ssl.create_default_context(cafile=str(to.home.ca_certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", to.server.port, ssl=context)
        writer.write(sent.replace(b"TOKEN", to.home.token.read_bytes()))
        answer = await asyncio.wait_for(reader.readline(), 10)
        assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer
        writer.transport.abort()

    run(scenario, tmp_path)
    assert caplog.messages == []
