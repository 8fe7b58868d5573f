"""Read the rules of a Route back from the ``http`` entries that ``rules.http_rules`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from meshkit.intent.rules import GrpcStatus
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.routing.written import Fields, filled, inherited, percents

Json = Mapping[str, Any]


def fields_of(service: str, port: int, entries: Sequence[Json]) -> Fields:
    """The fields of the Route that wrote the entries of a port, without its versions' labels."""
    *special, general = entries
    name = str(general["name"])
    of_route = _sent(general)
    rules, matches = [], []
    for entry in special:
        if entry["name"].startswith(f"{name}-match-"):
            matches.append(_header_match(entry))
        else:
            rules.append(_rule(service, port, entry))
    weights = _weights(general)
    return filled(
        {
            "name": name,
            "port": port,
            "versions": list(weights),
            "split": percents(weights),
            "rules": inherited(rules, of_route),
            "matches": matches,
            **of_route,
        }
    )


def tcp_fields_of(port: int, entries: Sequence[Json]) -> Fields:
    """The fields of the Route that wrote the ``tcp`` entry of a port, likewise."""
    (entry,) = entries
    weights = _weights(entry)
    return {"protocol": "tcp", "port": port, "versions": list(weights), "split": percents(weights)}


def _weights(entry: Json) -> dict[str, int]:
    return {each["destination"]["subset"]: int(each.get("weight", 100)) for each in entry["route"]}


def literal_of(value: str) -> str:
    """The header value of a Route that ``rules.literal`` wrote."""
    return value.replace("%%", "%")


def _header_match(entry: Json) -> Fields:
    (match,) = entry["match"]
    ((header, condition),) = match["headers"].items()
    (sent,) = entry["route"]
    return {"header": header, "value": condition["exact"], "version": sent["destination"]["subset"]}


def _rule(service: str, port: int, entry: Json) -> Fields:
    headers = entry.get("headers") or {}
    return filled(
        {
            "matches": list(_matches(entry["match"])),
            **_targets(service, entry),
            **_sent(entry),
            "rewrite": _rewrite(entry.get("rewrite")),
            "mirror": _mirror(service, port, entry.get("mirrors")),
            "request_headers": _edits(headers.get("request")),
            "response_headers": _edits(headers.get("response")),
            "cors": _cors(entry.get("corsPolicy")),
        }
    )


def _targets(service: str, entry: Json) -> Fields:
    if "redirect" in entry:
        return {"redirect": _redirect(entry["redirect"])}
    if "directResponse" in entry:
        answer = entry["directResponse"]
        return {
            "respond": filled({"status": answer["status"], "body": (answer.get("body") or {}).get("string")})
        }
    sent = [(each["destination"], int(each.get("weight", 100))) for each in entry["route"]]
    if all(to.get("subset") and to["host"] == service for to, _ in sent):
        return {"split": percents({to["subset"]: weight for to, weight in sent})}
    shares = percents({str(at): weight for at, (_, weight) in enumerate(sent)})
    return {
        "services": [
            {**_service(to["host"]), "port": to["port"]["number"], "percent": share}
            for (to, _), share in zip(sent, shares.values(), strict=True)
        ]
    }


def _service(host: str) -> Fields:
    name, _, rest = host.partition(".")
    namespace = rest.removesuffix(f".svc.{CLUSTER_DOMAIN}")
    return filled({"service": name, "namespace": namespace or None})


def _sent(entry: Json) -> Fields:
    return filled(
        {
            "timeout_s": duration_s(entry.get("timeout")),
            "retries": _retries(entry.get("retries")),
            "fault": _fault(entry.get("fault")),
        }
    )


def _matches(conditions: Iterable[Json]) -> Iterator[Fields]:
    """The matches of a rule; a path and all below it, which are written as two, are one prefix."""
    waiting = [dict(each) for each in conditions]
    while waiting:
        first = waiting.pop(0)
        exact = (first.get("uri") or {}).get("exact")
        if exact and waiting and waiting[0] == {**first, "uri": {"prefix": f"{exact}/"}}:
            waiting.pop(0)
            first = {**first, "uri": {"prefix": exact}}
        if found := _match(first):
            yield found


def _match(condition: Json) -> Fields:
    headers = {name: _text(each) for name, each in (condition.get("headers") or {}).items()}
    absent = {name: {"present": False} for name in condition.get("withoutHeaders") or ()}
    return filled(
        {
            "path": dict(condition.get("uri") or {}),
            "method": (condition.get("method") or {}).get("exact"),
            "headers": {**headers, **absent},
            "query": {name: _text(each) for name, each in (condition.get("queryParams") or {}).items()},
            "source_labels": dict(condition.get("sourceLabels") or {}),
            "source_namespace": condition.get("sourceNamespace"),
        }
    )


def _text(written: Json) -> Fields:
    return dict(written) or {"present": True}


def _rewrite(written: Json | None) -> Fields | None:
    if written is None:
        return None
    regex = written.get("uriRegexRewrite") or {}
    after = str(regex.get("rewrite", "")).replace("\\\\", "\\")
    found: Fields = {"host": written.get("authority")}
    if regex.get("match") == "^.*$":
        found["path"] = after
    elif regex:
        found["prefix"] = (after.rstrip("/") or "/") if regex["match"].endswith("/*") else after
    return filled(found)


def _mirror(service: str, port: int, written: Sequence[Json] | None) -> Fields | None:
    if not written:
        return None
    (mirror,) = written
    to, percent = mirror["destination"], (mirror.get("percentage") or {}).get("value", 100)
    if to.get("subset") and to["host"] == service:
        return {"version": to["subset"], "percent": percent}
    number = to["port"]["number"]
    return filled({"service": to["host"], "port": number if number != port else None, "percent": percent})


def _redirect(written: Json) -> Fields:
    named = {"scheme": "scheme", "host": "authority", "port": "port", "path": "uri", "status": "redirectCode"}
    return filled({name: written.get(field) for name, field in named.items()})


def _edits(written: Json | None) -> Fields | None:
    if not written:
        return None
    values = {
        name: {header: literal_of(value) for header, value in (written.get(name) or {}).items()}
        for name in ("set", "add")
    }
    return filled({**values, "remove": list(written.get("remove") or ())})


def _cors(written: Json | None) -> Fields | None:
    if not written:
        return None
    age_s = duration_s(written.get("maxAge"))
    return filled(
        {
            "origins": [each.get("exact", "*") for each in written["allowOrigins"]],
            "methods": written.get("allowMethods"),
            "headers": written.get("allowHeaders"),
            "exposed_headers": written.get("exposeHeaders"),
            "max_age_s": None if age_s is None else int(age_s),
            "credentials": written.get("allowCredentials"),
        }
    )


def _retries(written: Json | None) -> Fields | None:
    if not written:
        return None
    if not written.get("attempts"):
        return {"attempts": 0}
    names = str(written["retryOn"]).split(",")
    return filled(
        {
            "attempts": written["attempts"],
            "per_try_timeout_s": duration_s(written.get("perTryTimeout")),
            "on": names[0],
            "statuses": [int(name) for name in names if name.isdecimal()],
            "grpc_statuses": [name for name in names if name in get_args(GrpcStatus)],
            "backoff_s": duration_s(written.get("backoff")),
        }
    )


def _fault(written: Json | None) -> Fields | None:
    if not written:
        return None
    found: Fields = {}
    if delay := written.get("delay"):
        found |= {"delay_s": duration_s(delay["fixedDelay"]), "delay_percent": _percent(delay)}
    if abort := written.get("abort"):
        found |= {"abort_status": abort["httpStatus"], "abort_percent": _percent(abort)}
    return found


def _percent(written: Json) -> float:
    return float(written["percentage"].get("value", 0))
