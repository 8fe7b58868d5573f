"""Rules of CustomResourceDefinitions (x-kubernetes-validations)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.meshes.definitions import crds
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema import expressions
from meshkit.sandbox.api.schema.expression_cost import MAX_EXPRESSION_NS, Cost, Measure
from meshkit.sandbox.api.status import ApiError

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
THINGS = "things.example.com"


def definition(spec: dict[str, Any], root: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"spec": {"type": "object", **spec}}}
    if root:
        schema["x-kubernetes-validations"] = root
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    body = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": THINGS}, "spec": body}


def rule(text: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"rule": text, **({"message": message} if message else {}), **more}


async def written(api: Any, schema: dict[str, Any], *specs: Any, root: Any = None) -> str:
    """Create a Thing with the first spec, update it with the others. The message of the first refusal."""
    await api.client.create(DEFINITIONS, definition(schema, root))
    try:
        for index, spec in enumerate(specs):
            if index == 0:
                thing = await api.client.create(THINGS, {"metadata": {"name": "t"}, "spec": spec})
            else:
                thing = await api.client.update(THINGS, {**thing, "spec": spec})
    except ApiError as error:
        return error.message.partition("is invalid: ")[2]
    return ""


INTEGERS = {"properties": {"low": {"type": "integer"}, "high": {"type": "integer"}}}
LOW_HIGH = INTEGERS | {
    "x-kubernetes-validations": [rule("self.low <= self.high", "low must not exceed high")]
}
ITEMS = {
    "type": "array",
    "items": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}},
}
GROWS = [rule("self.size >= oldSelf.size", "may not shrink")]


def ruled(text: str, message: str = "", **more: Any) -> dict[str, Any]:
    return INTEGERS | {"x-kubernetes-validations": [rule(text, message, **more)]}


def sizes(**size: int) -> dict[str, Any]:
    return {"items": [{"name": name, "size": each} for name, each in size.items()]}


EMPTY_REFUSED = {"type": "string", "x-kubernetes-validations": [rule("self != ''", "is empty")]}
STARTS_AT_0 = ruled("oldSelf.hasValue() || self.low == 0", "starts at 0", optionalOldSelf=True)


def of_items(list_type: str) -> dict[str, Any]:
    items = copy.deepcopy(ITEMS)
    items["items"]["x-kubernetes-validations"] = GROWS
    items["x-kubernetes-list-type"] = list_type
    if list_type == "map":
        items["x-kubernetes-list-map-keys"] = ["name"]
    return {"properties": {"items": items}}


@pytest.mark.parametrize(
    ("schema", "specs", "message"),
    [
        (LOW_HIGH, [{"low": 1, "high": 2}], ""),
        (LOW_HIGH, [{"low": 3, "high": 2}], 'spec: Invalid value: "object": low must not exceed high'),
        (
            LOW_HIGH,
            [{"low": 3}],
            'spec: Invalid value: "object": no such key: high evaluating rule: low must not exceed high',
        ),
        (
            {"properties": {"n": {"type": "integer", "x-kubernetes-validations": [rule("self % 2 == 0")]}}},
            [{"n": 3}],
            'spec.n: Invalid value: "integer": failed rule: self % 2 == 0',
        ),
        (
            ruled(
                "self.low == 0",
                reason="FieldValueForbidden",
                fieldPath=".low",
                messageExpression="'low is ' + string(self.low)",
            ),
            [{"low": 3}],
            "spec.low: Forbidden: low is 3",
        ),
        (
            {"additionalProperties": EMPTY_REFUSED},
            [{"a.b": ""}],
            'spec[a.b]: Invalid value: "string": is empty',
        ),
        # a transition rule: only on updates
        (ruled("self == oldSelf", "is immutable"), [{"low": 1}], ""),
        (
            ruled("self == oldSelf", "is immutable"),
            [{"low": 1}, {"low": 2}],
            'spec: Invalid value: "object": is immutable',
        ),
        (
            STARTS_AT_0,
            [{"low": 1}],
            'spec: Invalid value: "object": starts at 0',
        ),
        (
            STARTS_AT_0,
            [{"low": 0}, {"low": 5}],
            "",
        ),
        (
            of_items("map"),
            [sizes(a=2), sizes(b=1, a=1)],
            'spec.items[1]: Invalid value: "object": may not shrink',
        ),
        (of_items("atomic"), [sizes(a=2), sizes(a=1)], ""),
        # names that CEL reserves, and numbers that JSON writes as integers
        (
            {
                "properties": {"namespace": {"type": "string"}, "a-b": {"type": "number"}},
                "x-kubernetes-validations": [
                    rule("self.__namespace__ == 'x' && self.a__dash__b * 0.5 == 1.0")
                ],
            },
            [{"namespace": "x", "a-b": 2}],
            "",
        ),
    ],
)
def test_rules_of_a_spec(api: Any, schema: Any, specs: Any, message: str) -> None:
    assert asyncio.run(written(api, schema, *specs)) == message


def test_a_rule_at_the_root_sees_the_name(api: Any) -> None:
    root = [rule("self.metadata.name == 'u'", "wrong name")]
    found = asyncio.run(written(api, INTEGERS, {}, root=root))
    assert found == '<nil>: Invalid value: "object": wrong name'


def test_what_was_wrong_before_a_rule_came_may_stay(api: Any) -> None:
    async def scenario() -> None:
        await api.client.create(DEFINITIONS, definition(INTEGERS))
        thing = await api.client.create(THINGS, {"metadata": {"name": "t"}, "spec": {"low": 3, "high": 2}})
        crd = await api.client.get(DEFINITIONS, THINGS)
        crd["spec"]["versions"] = definition(LOW_HIGH)["spec"]["versions"]
        await api.client.update(DEFINITIONS, crd)
        thing["metadata"]["labels"] = {"a": "b"}
        thing = await api.client.update(THINGS, thing)
        with pytest.raises(ApiError, match="low must not exceed high"):
            await api.client.update(THINGS, {**thing, "spec": {"low": 4, "high": 2}})

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["self.low <", "self.?low.hasValue()", "self.low.frobnicate()"])
def test_a_rule_that_cannot_be_compiled_is_named_with_every_write(api: Any, text: str) -> None:
    async def scenario() -> None:
        crd = definition(INTEGERS | {"x-kubernetes-validations": [rule(text)]})
        options = api.options()
        await api.writes.create(api.target(DEFINITIONS), crd, options)
        assert f"the rule '{text}' of spec is not evaluated" in options.warnings[0]
        options = api.options()
        await api.writes.create(api.target(THINGS), {"metadata": {"name": "t"}, "spec": {"low": 1}}, options)
        assert f"the rule '{text}' of spec is not evaluated" in options.warnings[0]
        assert "\n" not in options.warnings[0]

    asyncio.run(scenario())


# --- the rules of the meshes


def mesh_definitions() -> list[dict[str, Any]]:
    return [*crds("istio"), *crds("gateway_api")]


@pytest.mark.parametrize("crd", mesh_definitions(), ids=lambda crd: crd["metadata"]["name"])
def test_every_rule_of_the_meshes_can_be_evaluated(crd: dict[str, Any]) -> None:
    for version in crd["spec"]["versions"]:
        assert celrules.of_schema(version["schema"]["openAPIV3Schema"]).unusable == ()


@pytest.mark.parametrize("crd", mesh_definitions(), ids=lambda crd: crd["metadata"]["name"])
def test_every_rule_of_the_meshes_is_affordable_for_large_objects(crd: dict[str, Any]) -> None:
    large = [["x" * 1_024] * 64] * 30
    texts = [
        str(text)
        for found in json_path_values(crd, "x-kubernetes-validations")
        for rule in found
        for text in (rule["rule"], rule.get("messageExpression"))
        if text
    ]
    for text in texts:
        assert expressions.compiled(text.strip()).work_ns(large) < MAX_EXPRESSION_NS, text


def json_path_values(node: Any, name: str) -> Iterator[Any]:
    """Every value of members of this name, at any depth."""
    for key, each in node.items() if isinstance(node, dict) else enumerate(node):
        if key == name:
            yield each
        elif isinstance(each, (dict, list)):
            yield from json_path_values(each, name)


@pytest.mark.parametrize(
    ("source", "size", "affordable"),
    [
        ("self.all(a, self.all(b, a <= b))", Measure(100, 100, 10), True),
        ("self.all(a, self.all(b, a <= b))", Measure(10_000, 10_000, 10), False),
        ("self.all(a, self.all(b, self.all(c, a <= b)))", Measure(1_000, 1_000, 10), False),
        ("self.map(a, self.map(b, 1)).size() > 0", Measure(1_000, 1_000, 10), False),
        ("[" + "1," * 500 + "1].all(a, [" + "1," * 500 + "1].all(b, a == b))", Measure(1, 0, 0), False),
        ("lists.range(100000).all(a, self.all(b, a == b))", Measure(100, 100, 10), False),
        ("self.split('').all(a, self.split('').all(b, a == b))", Measure(1, 0, 100_000), False),
        ("self" + ".map(a, a + a)" * 40 + ".size() > 0", Measure(2, 1, 1), False),
        ("'self.all(' + self + ').all('", Measure(1, 0, 10), True),
        ('r"""\'.all(""" != \'\\\'.all(\' // it\'s', Measure(10_000, 10_000, 10), True),
        ("'it\\'s' != '' && self.all(a, self.all(b, a == b))", Measure(10_000, 10_000, 10), False),
        ("self.matches('^(.*a.{300}){10}$')", Measure(1, 0, 1_000_000), False),
        ("self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')", Measure(1, 0, 253), True),
    ],
)
def test_what_a_rule_may_cost_is_read_from_its_text(source: str, size: Measure, affordable: bool) -> None:
    cost = Cost(source, frozenset({"matches", "size"}))
    assert (cost.work_ns(size) <= MAX_EXPRESSION_NS) is affordable


ROUTE = {"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}]}
PREFIX = {"path": {"type": "PathPrefix", "value": "/a"}}


@pytest.mark.parametrize(
    ("resource", "spec", "refusal"),
    [
        ("peerauthentications.security.istio.io", {"mtls": {"mode": "STRICT"}}, ""),
        (
            "peerauthentications.security.istio.io",
            {"portLevelMtls": {"8080": {"mode": "DISABLE"}}},
            "portLevelMtls requires selector",
        ),
        (
            "peerauthentications.security.istio.io",
            {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"99999": {"mode": "DISABLE"}}},
            "port must be between 1-65535",
        ),
        ("virtualservices.networking.istio.io", {"hosts": ["web"], "http": [{"timeout": "2s"}]}, ""),
        (
            "virtualservices.networking.istio.io",
            {"hosts": ["web"], "http": [{"timeout": "0.1ms"}]},
            'spec.http[0].timeout: Invalid value: "string": must be a valid duration greater than 1ms',
        ),
        (
            "requestauthentications.security.istio.io",
            {"jwtRules": [{"issuer": "i", "jwksUri": "ftp://keys"}]},
            "url must have scheme http:// or https://",
        ),
        (
            "requestauthentications.security.istio.io",
            {"jwtRules": [{"issuer": "i", "jwksUri": "https://keys"}]},
            "",
        ),
        ("httproutes.gateway.networking.k8s.io", {**ROUTE, "rules": [{"matches": [PREFIX]}]}, ""),
        (
            "httproutes.gateway.networking.k8s.io",
            {**ROUTE, "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "a//b"}}]}]},
            "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
        ),
        (
            "httproutes.gateway.networking.k8s.io",
            {**ROUTE, "rules": [{"timeouts": {"request": "1s", "backendRequest": "2s"}}]},
            "backendRequest timeout cannot be longer than request timeout",
        ),
    ],
)
def test_objects_of_the_meshes(api: Any, resource: str, spec: Any, refusal: str) -> None:
    async def scenario() -> None:
        crd = next(each for each in mesh_definitions() if each["metadata"]["name"] == resource)
        await api.client.create(DEFINITIONS, copy.deepcopy(crd))
        made = api.client.create(resource, {"metadata": {"name": "o"}, "spec": spec})
        if not refusal:
            await made
            return
        with pytest.raises(ApiError) as refused:
            await made
        assert refusal in refused.value.message

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("source", "value", "result"),
    [
        ("url(self).getScheme()", "https://user@example.com:8443/a?b=c", "https"),
        ("url(self).getHost()", "https://user@example.com:8443/a", "example.com:8443"),
        ("url(self).getHostname()", "https://[::1]:80/", "[::1]"),
        ("url(self).getPort()", "https://example.com/", ""),
        ("url(self).getEscapedPath()", "/a/b?c", "/a/b"),
        ("isURL(self)", "not a url", False),
        ("isURL(self)", "https://a", True),
        ("self.substring(0, 2)", "abc", "ab"),
        ("quantity(self).isGreaterThan(quantity('1Mi'))", "1Gi", True),
        ("isQuantity(self)", "1 Gi", False),
        ("quantity(self).add(quantity('500m')) == quantity('1')", "0.5", True),
        ("isIP(self)", "127.0.0.1", True),
        ("isIP(self)", "127.0.0.256", False),
        ("cidr('10.0.0.0/8').containsIP(self)", "10.1.2.3", True),
        ("isCIDR(self)", "10.0.0.0/40", False),
        ("self.find('[0-9]+')", "ab12c3", "12"),
        ("self.findAll('[0-9]+')", "ab12c3", ["12", "3"]),
        ("self.isSorted()", [1, 3, 2], False),
        ("self.sum()", [1, 3, 2], 6),
    ],
)
def test_functions_that_kubernetes_adds(source: str, value: Any, result: Any) -> None:
    assert expressions.compiled(source).evaluate(value) == result
