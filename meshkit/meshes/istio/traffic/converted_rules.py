"""Write the rules of a VirtualService as rules of an HTTPRoute, or name the field that has no equivalent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Object
from meshkit.kube.metadata import title
from meshkit.meshes.gateway_api.durations import gateway_duration
from meshkit.meshes.gateway_api.meaning.routes import whole_path
from meshkit.meshes.model.durations import duration_s

Json = dict[str, Any]
Backend = Callable[[str, Mapping[str, Any], int], Json]
"""The backend of a destination, from its place in the object, the destination and the port of the request."""
_ENTRY = {"name", "match", "route", "redirect", "rewrite", "timeout", "mirror", "mirrors", "headers"}
_MATCH = {"name", "uri", "method", "headers", "queryParams", "port", "gateways"}
KEEP = "Keep the VirtualService, or change this part of it first."


def refused(item: Object, where: str, why: str) -> BadInput:
    """The error for a part of a VirtualService that no HTTPRoute can stand for."""
    return BadInput(f"{title(item)} {where}", f"{why}.", remedy=KEEP)


@dataclass(frozen=True)
class Converted:
    """The rules of a VirtualService for one port of its Service."""

    item: Object
    port: int
    backend: Backend

    def rules(self) -> list[tuple[str, Json]]:
        """The rules in their order, each with its place; empty if no rule is for the port."""
        return [
            (f"http[{index}]", self._rule(f"spec.http[{index}]", entry, matches))
            for index, entry in enumerate(self.item["spec"].get("http") or ())
            if (matches := self._for_port(entry))
        ]

    def _for_port(self, entry: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
        """The matches of an entry that hold for the port, with their numbers."""
        written = entry.get("match") or [{}]
        return [(index, each) for index, each in enumerate(written) if each.get("port") in (None, self.port)]

    def _rule(
        self, where: str, entry: Mapping[str, Any], matches: list[tuple[int, Mapping[str, Any]]]
    ) -> Json:
        self._only(where, entry, _ENTRY)
        for number, match in matches:
            self._only(f"{where}.match[{number}]", match, _MATCH)
        body: Json = {}
        written = [self._match(f"{where}.match[{number}]", match) for number, match in _joined(matches)]
        if {} not in written:
            body["matches"] = written
        if filters := list(self._filters(where, entry)):
            body["filters"] = filters
        if entry.get("redirect"):
            return body
        if not entry.get("route"):
            raise refused(self.item, where, "it sends requests nowhere")
        body["backendRefs"] = list(self._backends(where, entry["route"]))
        if timeout_s := duration_s(entry.get("timeout")):
            body["timeouts"] = {"request": gateway_duration(timeout_s, f"{title(self.item)} {where}.timeout")}
        return body

    def _only(self, where: str, written: Mapping[str, Any], known: set[str]) -> None:
        for key in sorted(written.keys() - known):
            if written[key] not in (None, False, [], {}):
                raise refused(self.item, f"{where}.{key}", "an HTTPRoute has no equivalent")

    def _match(self, where: str, match: Mapping[str, Any]) -> Json:
        if (match.get("gateways") or ["mesh"]) != ["mesh"]:
            raise refused(self.item, f"{where}.gateways", "an HTTPRoute of a Service is for the mesh")
        written: Json = {}
        uri = match.get("uri") or {}
        if segments := uri.get("segments"):
            written["path"] = {"type": "PathPrefix", "value": segments}
        elif "prefix" in uri and uri != {"prefix": "/"}:
            problem = "an HTTPRoute takes prefixes by whole segments only"
            raise refused(self.item, f"{where}.uri.prefix", problem)
        elif uri and uri != {"prefix": "/"}:
            kind, value = self._text(f"{where}.uri", uri)
            written["path"] = {"type": kind, "value": value}
        if method := match.get("method"):
            if "exact" not in method:
                raise refused(self.item, f"{where}.method", "an HTTPRoute takes the exact method only")
            written["method"] = method["exact"]
        for key in ("headers", "queryParams"):
            for name, text in (match.get(key) or {}).items():
                if name.startswith("@"):
                    raise refused(self.item, f"{where}.{key}.{name}", "an HTTPRoute has no equivalent")
                kind, value = self._text(f"{where}.{key}.{name}", text)
                written.setdefault(key, []).append({"type": kind, "name": name, "value": value})
        return written

    def _text(self, where: str, text: Mapping[str, Any]) -> tuple[str, str]:
        """The type and value of a condition on a text."""
        if "exact" in text:
            return "Exact", text["exact"]
        if "regex" in text:
            return "RegularExpression", text["regex"]
        if "prefix" in text:
            return "RegularExpression", f"{re.escape(text['prefix'])}.*"
        if text:
            raise refused(self.item, where, "an HTTPRoute has no equivalent")
        return "RegularExpression", ".*"

    def _backends(self, where: str, listed: list[Mapping[str, Any]]) -> Iterator[Json]:
        for index, entry in enumerate(listed):
            place = f"{where}.route[{index}]"
            self._only(place, entry, {"destination", "weight", "headers"})
            weight = int(entry.get("weight") or (1 if len(listed) == 1 else 0))
            reference = self.backend(f"{place}.destination", entry["destination"], self.port)
            filters = list(self._edits(place, entry.get("headers")))
            yield {**reference, "weight": weight, **({"filters": filters} if filters else {})}

    def _filters(self, where: str, entry: Mapping[str, Any]) -> Iterator[Json]:
        yield from self._edits(where, entry.get("headers"))
        if entry.get("redirect"):
            yield {
                "type": "RequestRedirect",
                "requestRedirect": self._redirect(f"{where}.redirect", entry["redirect"]),
            }
        if entry.get("rewrite"):
            yield {"type": "URLRewrite", "urlRewrite": self._rewrite(f"{where}.rewrite", entry["rewrite"])}
        copies = [("mirror", {"destination": entry["mirror"]})] if entry.get("mirror") else []
        copies += [(f"mirrors[{index}]", each) for index, each in enumerate(entry.get("mirrors") or ())]
        for place, each in copies:
            mirror = self._mirror(f"{where}.{place}", each)
            yield {"type": "RequestMirror", "requestMirror": mirror}

    def _edits(self, where: str, headers: Mapping[str, Any] | None) -> Iterator[Json]:
        for side, edits in (headers or {}).items():
            for name in (*(edits.get("set") or ()), *(edits.get("add") or ())):
                if name.startswith(":") or name.lower() == "host":
                    raise refused(self.item, f"{where}.headers.{side}", f"an HTTPRoute cannot set {name}")
            written = {
                key: [{"name": name, "value": value} for name, value in (edits.get(key) or {}).items()]
                for key in ("set", "add")
                if edits.get(key)
            }
            if edits.get("remove"):
                written["remove"] = list(edits["remove"])
            kind = f"{side}HeaderModifier"
            yield {"type": f"{kind[0].upper()}{kind[1:]}", kind: written}

    def _redirect(self, where: str, redirect: Mapping[str, Any]) -> Json:
        self._only(where, redirect, {"uri", "authority", "port", "scheme", "redirectCode"})
        path = {"type": "ReplaceFullPath", "replaceFullPath": redirect.get("uri")}
        written = {
            "scheme": redirect.get("scheme"),
            "hostname": redirect.get("authority"),
            "port": redirect.get("port"),
            "path": path if redirect.get("uri") else None,
            "statusCode": int(redirect.get("redirectCode") or 301),
        }
        return {key: value for key, value in written.items() if value}

    def _rewrite(self, where: str, rewrite: Mapping[str, Any]) -> Json:
        self._only(where, rewrite, {"authority", "uriRegexRewrite"})
        written: Json = {"hostname": rewrite["authority"]} if rewrite.get("authority") else {}
        if expression := rewrite.get("uriRegexRewrite"):
            path = str(expression.get("rewrite", "")).replace("\\\\", "\\")
            if (expression.get("match"), expression.get("rewrite")) != whole_path(path):
                problem = "an HTTPRoute replaces the whole path or a prefix in whole segments only"
                raise refused(self.item, f"{where}.uriRegexRewrite", problem)
            written["path"] = {"type": "ReplaceFullPath", "replaceFullPath": path}
        return written

    def _mirror(self, where: str, mirror: Mapping[str, Any]) -> Json:
        if mirror["destination"].get("subset"):
            raise refused(self.item, f"{where}.subset", "copies can go to whole Services only")
        share = (mirror.get("percentage") or {}).get("value", 100)
        if share != int(share):
            raise refused(self.item, f"{where}.percentage", "an HTTPRoute takes whole percents")
        reference = self.backend(where, mirror["destination"], self.port)
        return {"backendRef": reference, **({} if share == 100 else {"percent": int(share)})}


def _joined(matches: list[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The matches, with one for a prefix by whole segments in place of two: the path, and all below it."""
    plain = [match for _, match in matches]
    for number, match in matches:
        uri = match.get("uri") or {}
        below = {**match, "uri": {"prefix": f"{uri.get('exact')}/"}}
        above = {**match, "uri": {"exact": str(uri.get("prefix", "")).removesuffix("/")}}
        if "exact" in uri and below in plain:
            yield number, {**match, "uri": {"segments": uri["exact"]}}
        elif not (str(uri.get("prefix", "")).endswith("/") and uri != {"prefix": "/"} and above in plain):
            yield number, match
