"""Read a Route back from its HTTPRoute or GRPCRoute and the Services of its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import labels
from meshkit.meshes.gateway_api.routes import KINDS
from meshkit.meshes.gateway_api.rules import backend_name
from meshkit.meshes.gateway_api.versions import VERSION_OF
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.routing.written import Fields, filled, inherited, percents, selector_of, version

Json = Mapping[str, Any]
_NO_PATH = {"type": "PathPrefix", "value": "/"}
"""The condition on the path that the API server adds to a match without one; it holds for every request."""


def routes_of(service: str, namespace: str, snapshot: Snapshot) -> Iterator[tuple[Object, int | None]]:
    """The routes of a Service's namespace that have it as a parent, with the port."""
    for route in (each for kind in KINDS for each in snapshot.of(kind.kind, namespace)):
        for parent in (route.get("spec") or {}).get("parentRefs") or ():
            own = parent.get("namespace") in (None, namespace)
            if own and parent.get("kind") == SERVICE.kind and parent.get("name") == service:
                yield route, parent.get("port")


def fields_of(
    item: Object, port: int | None, service: str, snapshot: Snapshot, literal_of: Callable[[str], str] = str
) -> Fields:
    """The fields of the Route that wrote a route of Gateway API and the Services of its versions.

    ``literal_of`` reads the value of a header as the mesh writes it.
    """
    if port is None:
        raise ValueError("it holds for every port")
    reader = _Reader(service, item["metadata"]["namespace"], port, snapshot, literal_of)
    *special, general = item["spec"]["rules"]
    of_route = reader.timeout(general)
    rules: list[Fields] = []
    matches: list[Fields] = []
    for rule in special:
        if found := reader.header_match(rule):
            matches.append(found)
        else:
            rules.append(reader.rule(rule))
    weights = reader.weights(general)
    selectors = [reader.selector(name) for name in weights]
    common = selector_of(service, snapshot, reader.namespace) or {"app": service}
    if not all(common.items() <= each.items() for each in selectors):
        raise ValueError("the Services of the versions select other pods than the Service")
    return filled(
        {
            "namespace": reader.namespace,
            "service": service,
            "port": port,
            "api": "gateway",
            "name": _route_name(item, service, port),
            "versions": [
                version(name, {key: value for key, value in own.items() if key not in common})
                for name, own in zip(weights, selectors, strict=True)
            ],
            "split": percents(weights),
            "selector": None if common == {"app": service} else common,
            "rules": inherited(rules, of_route),
            "matches": matches,
            **of_route,
        }
    )


def _route_name(item: Object, service: str, port: int) -> str:
    name = str(item["metadata"]["name"])
    if not name.startswith(f"{service}-"):
        raise ValueError("its name does not begin with that of the Service")
    return name.removeprefix(f"{service}-").removesuffix(f"-{port}")


class _Reader:
    """Reads the rules of one HTTPRoute or GRPCRoute."""

    def __init__(
        self,
        service: str,
        namespace: str,
        port: int,
        snapshot: Snapshot,
        literal_of: Callable[[str], str],
    ) -> None:
        self.service, self.namespace, self.port = service, namespace, port
        self._snapshot, self._literal_of = snapshot, literal_of

    def selector(self, name: str) -> Mapping[str, str]:
        """The labels of a version's pods."""
        found = self._snapshot.find(SERVICE.kind, backend_name(self.service, name), self.namespace)
        return dict(((found or {}).get("spec") or {}).get("selector") or {})

    def timeout(self, rule: Json) -> Fields:
        """The time of a rule."""
        return filled({"timeout_s": duration_s((rule.get("timeouts") or {}).get("request"))})

    def weights(self, rule: Json) -> dict[str, int]:
        """The weights of the versions that a rule sends requests to."""
        found = {}
        for each in rule["backendRefs"]:
            name = self._version(each)
            if name is None:
                raise ValueError(f"Service {each['name']} is no version")
            found[name] = int(each.get("weight", 1))
        return found

    def header_match(self, rule: Json) -> Fields | None:
        """The header match that wrote a rule: one exact header, and one version with the weight 1."""
        conditions, sent = self._conditions(rule), list(rule.get("backendRefs") or ())
        if rule.get("filters") or len(conditions) != 1 or len(sent) != 1 or sent[0].get("weight", 1) != 1:
            return None
        condition, name = conditions[0], self._version(sent[0])
        headers: Sequence[Json] = condition.get("headers") or []
        if name is None or set(condition) != {"headers"} or len(headers) != 1:
            return None
        header = headers[0]
        if header.get("type", "Exact") != "Exact":
            return None
        return {"header": header["name"], "value": header["value"], "version": name}

    def rule(self, rule: Json) -> Fields:
        """The rule of a Route that wrote one of an HTTPRoute."""
        found: Fields = {"matches": [_match(each) for each in self._conditions(rule)]}
        for each in rule.get("filters") or ():
            found |= self._filter(each)
        sent = rule.get("backendRefs") or ()
        if sent and all(self._version(each) for each in sent):
            found["split"] = percents(self.weights(rule))
        elif sent:
            shares = percents({str(at): int(each.get("weight", 1)) for at, each in enumerate(sent)})
            found["services"] = [
                {**self._service(each), "port": each["port"], "percent": share}
                for each, share in zip(sent, shares.values(), strict=True)
            ]
        return filled({**found, **self.timeout(rule)})

    def _version(self, backend: Json) -> str | None:
        """The version that a backend is, if it is the Service of one."""
        name, start = str(backend["name"]), f"{self.service}-"
        if not name.startswith(start) or backend.get("port") != self.port:
            return None
        found = self._snapshot.find(SERVICE.kind, name, backend.get("namespace") or self.namespace)
        is_one = found is not None and labels(found).get(VERSION_OF) == self.service
        return name.removeprefix(start) if is_one else None

    def _service(self, backend: Json) -> Fields:
        namespace = backend.get("namespace")
        return filled(
            {"service": backend["name"], "namespace": namespace if namespace != self.namespace else None}
        )

    def _conditions(self, rule: Json) -> list[Json]:
        """The matches of a rule that have conditions."""
        matches = rule.get("matches") or ()
        plain = [
            {key: value for key, value in match.items() if (key, value) != ("path", _NO_PATH)}
            for match in matches
        ]
        return [match for match in plain if match]

    def _filter(self, written: Json) -> Fields:
        kind = written["type"]
        if kind in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            side = "request" if kind.startswith("Request") else "response"
            return {f"{side}_headers": self._edits(written[f"{side}HeaderModifier"])}
        if kind == "RequestRedirect":
            return {"redirect": _redirect(written["requestRedirect"])}
        if kind == "URLRewrite":
            return {"rewrite": _rewrite(written["urlRewrite"])}
        if kind == "RequestMirror":
            return {"mirror": self._mirror(written["requestMirror"])}
        raise ValueError(f"filter {kind}")

    def _edits(self, written: Json) -> Fields:
        def values(pairs: Sequence[Json]) -> dict[str, str]:
            return {each["name"]: self._literal_of(each["value"]) for each in pairs}

        lists = {name: values(written.get(name) or ()) for name in ("set", "add")}
        return filled({**lists, "remove": list(written.get("remove") or ())})

    def _mirror(self, written: Json) -> Fields:
        backend, share = written["backendRef"], written.get("fraction") or {}
        percent = written.get("percent", 100)
        if share:
            percent = float(Fraction(share["numerator"] * 100, share.get("denominator", 100)))
        if name := self._version(backend):
            return {"version": name, "percent": percent}
        port = backend.get("port")
        return filled(
            {"service": backend["name"], "port": port if port != self.port else None, "percent": percent}
        )


def _match(written: Json) -> Fields:
    path = written.get("path")
    names = {"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}
    method = written.get("method")
    called = method if isinstance(method, Mapping) else None
    if called and called.get("type", "Exact") != "Exact":
        raise ValueError("the method of a match is a regular expression")
    return filled(
        {
            "grpc": {key: value for key, value in called.items() if key != "type"} if called else None,
            "path": {names[path["type"]]: path["value"]} if path else None,
            "method": None if called else method,
            "headers": {each["name"]: _text(each) for each in written.get("headers") or ()},
            "query": {each["name"]: _text(each) for each in written.get("queryParams") or ()},
        }
    )


def _text(written: Json) -> Fields:
    return {"regex" if written.get("type") == "RegularExpression" else "exact": written["value"]}


def _redirect(written: Json) -> Fields:
    return filled(
        {
            "scheme": written.get("scheme"),
            "host": written.get("hostname"),
            "port": written.get("port"),
            "path": (written.get("path") or {}).get("replaceFullPath"),
            "status": written.get("statusCode"),
        }
    )


def _rewrite(written: Json) -> Fields:
    path = written.get("path") or {}
    return filled(
        {
            "host": written.get("hostname"),
            "path": path.get("replaceFullPath"),
            "prefix": path.get("replacePrefixMatch"),
        }
    )
