"""What Envoy's route configuration means for one authority, so that two ways to write it compare as equal.

Left out are names, statistics, metadata and fields that have Envoy's default value; what is left is what
becomes of a request: conditions in order, shares by cluster, timeouts, retries, faults, edits, and of the
clusters how an endpoint is chosen, limited and ejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

JSON = dict[str, Any]
FAULT = "envoy.filters.http.fault"
UNLIMITED = 4294967295
_PATHS = ("prefix", "path", "safe_regex", "path_separated_prefix", "connect_matcher")
_AS_WRITTEN = ("redirect", "direct_response", "hash_policy")
_REWRITES = ("prefix_rewrite", "regex_rewrite", "host_rewrite_literal", "auto_host_rewrite", "cluster_header")


def of_authority(config: Mapping[str, Any], authority: str, port: int) -> JSON:
    """The routes that a request for ``authority`` meets on ``port``, and the clusters they lead to."""
    table = config["routes"].get(str(port)) or config["routes"].get("outbound") or {}
    host = _virtual_host(table, authority)
    routes = _reached([_route(item) for item in host.get("routes", ())])
    used = sorted({name for route in routes for name in _clusters_of(route)})
    return {"routes": routes, "clusters": {name: _cluster(config, name) for name in used}}


def of_inbound(config: Mapping[str, Any], port: int) -> JSON:
    """Which connections the proxy takes for its application's port: with mutual TLS, without, or both."""
    chains = [
        chain
        for listener in config["listeners"].values()
        if listener.get("traffic_direction") == "INBOUND"
        and listener["address"]["socket_address"]["port_value"] == port
        for chain in listener["filter_chains"]
    ]
    return {"modes": sorted({"mutual TLS" if "transport_socket" in each else "plaintext" for each in chains})}


def without_endpoints(config: Mapping[str, Any]) -> set[str]:
    """Clusters whose endpoints have not been told yet."""
    asking = {name for name, cluster in config["clusters"].items() if cluster.get("type") == "EDS"}
    return asking - config["endpoints"].keys()


def _reached(routes: list[JSON]) -> list[JSON]:
    """Without what stands behind a route that takes every request."""
    for index, route in enumerate(routes):
        if route["match"] == {"path": ["prefix", "/"]}:
            return routes[: index + 1]
    return routes


def _virtual_host(table: Mapping[str, Any], authority: str) -> JSON:
    """Envoy's choice: the exact domain, else the longest that ends or begins so, else ``*``."""
    host = authority.rpartition(":")[0] if table.get("ignore_port_in_host_matching") else authority
    ranked: list[tuple[int, int, JSON]] = []
    for item in table.get("virtual_hosts", ()):
        for domain in item["domains"]:
            if domain == host:
                ranked.append((3, 0, item))
            elif domain == "*":
                ranked.append((0, 0, item))
            elif domain.startswith("*") and host.endswith(domain[1:]) and len(host) >= len(domain):
                ranked.append((2, len(domain), item))
            elif domain.endswith("*") and host.startswith(domain[:-1]) and len(host) >= len(domain):
                ranked.append((1, len(domain), item))
    return max(ranked, key=lambda each: each[:2])[2] if ranked else {}


def _route(item: Mapping[str, Any]) -> JSON:
    action = item.get("route", {})
    found: JSON = {"match": _match(item["match"])}
    for name in _AS_WRITTEN:
        if item.get(name) or action.get(name):
            found[name] = item.get(name) or action.get(name)
    if "redirect" in found:
        found["redirect"] = {name: value for name, value in found["redirect"].items() if value}
    if "direct_response" in found:
        found["direct_response"] = {"status": found["direct_response"]["status"]}
    if action:
        found["to"] = _shares(action)
        found["timeout_s"] = _seconds(action.get("timeout", "15s"))
        found["retry"] = _retry(action.get("retry_policy"))
        found["mirrors"] = [_mirror(each) for each in action.get("request_mirror_policies", ())]
        found["rewrite"] = {name: action[name] for name in _REWRITES if action.get(name)}
    found["fault"] = _fault((item.get("typed_per_filter_config") or {}).get(FAULT))
    found["edits"] = _edits(item)
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def _match(match: Mapping[str, Any]) -> JSON:
    kind = next((name for name in _PATHS if name in match), "prefix")
    value = match.get(kind, "/")
    found: JSON = {"path": [kind, value.get("regex") if isinstance(value, dict) else value]}
    if match.get("case_sensitive") is False:
        found["ignore_case"] = True
    headers = sorted((_condition(each) for each in match.get("headers", ())), key=repr)
    query = sorted((_condition(each) for each in match.get("query_parameters", ())), key=repr)
    return {**found, **({"headers": headers} if headers else {}), **({"query": query} if query else {})}


def _condition(item: Mapping[str, Any]) -> JSON:
    found: JSON = {"name": item["name"].lower() if item["name"].startswith(":") else item["name"]}
    text = item.get("string_match")
    if text is None:
        found["present"] = item.get("present_match", True)
    else:
        kind = next(name for name in ("exact", "prefix", "suffix", "safe_regex", "contains") if name in text)
        value = text[kind]
        found[kind] = value["regex"] if isinstance(value, dict) else value
        if text.get("ignore_case"):
            found["ignore_case"] = True
    if item.get("invert_match"):
        found["inverted"] = True
    if item.get("treat_missing_header_as_empty"):
        found["missing_is_empty"] = True
    return found


def _shares(action: Mapping[str, Any]) -> JSON:
    """Cluster -> its share of 1, with the edits that hold for it alone."""
    if "cluster" in action:
        return {action["cluster"]: 1.0}
    listed = action.get("weighted_clusters", {}).get("clusters", ())
    total = sum(each.get("weight", 0) for each in listed) or 1
    found: JSON = {}
    for each in listed:
        if not each.get("weight"):
            continue
        share = round(each.get("weight", 0) / total, 6)
        edits = _edits(each)
        found[each["name"]] = {"share": share, "edits": edits} if edits else share
    return found


def _retry(item: Mapping[str, Any] | None) -> JSON | None:
    if not item:
        return None
    found: JSON = {
        "on": sorted(set(item.get("retry_on", "").split(",")) - {""}),
        "attempts": item.get("num_retries", 1),
        "statuses": sorted(item.get("retriable_status_codes", ())),
        "per_try_s": _seconds(item.get("per_try_timeout", "0s")),
        "backoff_s": _seconds((item.get("retry_back_off") or {}).get("base_interval", "0.025s")),
        "hosts": [each["name"].rpartition(".")[2] for each in item.get("retry_host_predicate", ())],
    }
    if found["hosts"]:
        found["host_picks"] = int(item.get("host_selection_retry_max_attempts", 1))
    return found


def _mirror(item: Mapping[str, Any]) -> JSON:
    fraction = (item.get("runtime_fraction") or {}).get("default_value")
    return {"to": item["cluster"], "share": _fraction(fraction) if fraction is not None else 1.0}


def _fault(item: Mapping[str, Any] | None) -> JSON | None:
    """Faults as they act: one of zero percent, or of no length, is none."""
    found: JSON = {}
    for name, field in (("delay", "fixed_delay"), ("abort", "http_status")):
        part = (item or {}).get(name)
        share = _fraction(part.get("percentage")) if part else 0.0
        if part and share:
            value = part.get(field, part.get("grpc_status"))
            found[name] = {"value": _seconds(value) if name == "delay" else value, "share": share}
    return found or None


def _fraction(item: Mapping[str, Any] | None) -> float:
    if item is None:
        return 0.0
    per = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}[item.get("denominator", "HUNDRED")]
    return round(item.get("numerator", 0) / per, 6)


def _edits(item: Mapping[str, Any]) -> JSON:
    found: JSON = {}
    for side in ("request", "response"):
        for entry in item.get(f"{side}_headers_to_add", ()):
            how = (
                "add" if entry.get("append_action", "APPEND_IF_EXISTS_OR_ADD").startswith("APPEND") else "set"
            )
            found.setdefault(f"{side} {how}", []).append(
                [entry["header"]["key"], entry["header"].get("value")]
            )
        if item.get(f"{side}_headers_to_remove"):
            found[f"{side} remove"] = item[f"{side}_headers_to_remove"]
    return {name: sorted(values) for name, values in found.items()}


def _clusters_of(route: Mapping[str, Any]) -> Iterable[str]:
    yield from route.get("to", {})
    yield from (each["to"] for each in route.get("mirrors", ()))


def _cluster(config: Mapping[str, Any], name: str) -> JSON | None:
    item = config["clusters"].get(name)
    if item is None:
        return None
    listed = config["endpoints"].get(name, {}).get("endpoints", ())
    addresses = [
        each["endpoint"]["address"]["socket_address"]
        for group in listed
        for each in group.get("lb_endpoints", ())
    ]
    found: JSON = {
        "endpoints": sorted(f"{each['address']}:{each['port_value']}" for each in addresses),
        "balancer": _balancer(item),
        "connect_s": _seconds(item.get("connect_timeout", "5s")),
        "limits": _limits(item),
        "outlier": _outlier(item.get("outlier_detection")),
        "panic": (item.get("common_lb_config") or {}).get("healthy_panic_threshold", {}).get("value", 0),
    }
    return {key: value for key, value in found.items() if value not in (None, {})}


def _balancer(item: Mapping[str, Any]) -> Any:
    policy = item.get("load_balancing_policy")
    if policy:
        extension = policy["policies"][0]["typed_extension_config"]
        return dict(extension["typed_config"])
    kind = item.get("lb_policy", "ROUND_ROBIN")
    if kind == "RING_HASH":
        return [kind, int((item.get("ring_hash_lb_config") or {}).get("minimum_ring_size", 1024))]
    return kind


def _limits(item: Mapping[str, Any]) -> JSON:
    threshold = ((item.get("circuit_breakers") or {}).get("thresholds") or [{}])[0]
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    found = {name: threshold[name] for name in names if threshold.get(name, UNLIMITED) != UNLIMITED}
    options = (item.get("typed_extension_protocol_options") or {}).values()
    for option in options:
        common = option.get("common_http_protocol_options", {})
        for name in ("max_requests_per_connection", "idle_timeout"):
            if common.get(name):
                found[name] = common[name]
    return found


def _outlier(item: Mapping[str, Any] | None) -> JSON | None:
    """A detector that enforces nothing is none."""
    if not item:
        return None
    found: JSON = {
        "interval_s": _seconds(item.get("interval", "10s")),
        "base_s": _seconds(item.get("base_ejection_time", "30s")),
        "max_percent": item.get("max_ejection_percent", 10),
    }
    kinds = (("consecutive_5xx", 100), ("consecutive_gateway_failure", 0))
    for name, default in kinds:
        if item.get(f"enforcing_{name}", default):
            found[name] = item.get(name, 5)
    if item.get("enforcing_success_rate", 100):
        found["success_rate"] = True
    return found


def _seconds(value: str | float) -> float:
    return round(float(str(value).removesuffix("s")), 6)
