"""Validation rules of built-in kinds beyond their schema, such as names, labels and immutable fields.

``causes`` returns all errors of an object as it would be stored; ``immutable`` returns the errors of an
update to immutable fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshkit.sandbox.api import names, podrules, status, workload_rules
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema import validation
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.status import Cause

Object = Mapping[str, Any]

_POD_RULE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to "
    "existing tolerations), `spec.terminationGracePeriodSeconds`"
)
_MAX_DATA_BYTES = 1 << 20  # of a ConfigMap or Secret, core/validation.MaxSecretSize
_SCHEMA_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def all_causes(resource: Resource, new: Object, old: Object | None, subresource: str = "") -> list[Cause]:
    """Return all validation errors of an object that replaces ``old``.

    CEL rules are evaluated only when there are no other errors.
    """
    result = causes(resource, new, subresource)
    if old is not None and subresource != "status":
        result += immutable(resource, old, new)
    return result or list(celrules.causes(resource, new, old))


def causes(resource: Resource, obj: Object, subresource: str = "") -> list[Cause]:
    """Return all validation errors of an object.

    A write to the status of a built-in kind validates the status only, so that the status of an object with
    an invalid spec can still be updated.
    """
    only_status = subresource == "status" and not resource.custom
    result = [] if only_status else list(_metadata(resource, obj["metadata"]))
    for cause in validation.find_causes(resource.schema, obj):
        of_status = not resource.custom and cause.field.startswith("status")
        # Writers omit required fields of a built-in status, because Go fills them with zero values.
        lenient = of_status and cause.reason == "FieldValueRequired"
        if not lenient and (of_status or not only_status):
            result.append(cause)
    if resource.custom and not result:
        result += validation.repeated(resource.schema, obj)
    rule = (_OF_STATUS if only_status else _OF).get(resource.key)
    if rule is not None and not result:
        result += rule(obj)
    return result


def immutable(resource: Resource, old: Object, new: Object) -> list[Cause]:
    """Return the errors of changes to immutable fields."""
    if resource.key == "pods" and _fixed(old["spec"], old["spec"]) != _fixed(new["spec"], old["spec"]):
        return [Cause("spec", "FieldValueForbidden", _POD_RULE)]
    if resource.key in ("configmaps", "secrets") and old.get("immutable"):
        changed = [name for name in ("data", "binaryData", "immutable") if old.get(name) != new.get(name)]
        why = "Forbidden: field is immutable when `immutable` is set"
        return [Cause(name, "FieldValueForbidden", why) for name in changed]
    return [
        status.invalid_value(".".join(path), _at(new, path), "field is immutable")
        for path in _IMMUTABLE.get(resource.key, ())
        if _at(old, path) != _at(new, path)
    ]


def _fixed(spec: Object, before: Object) -> dict[str, Any]:
    """Return the immutable part of a pod's spec; the node of an unscheduled pod may change."""
    may_change = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    if not before.get("nodeName"):
        may_change.add("nodeName")
    fixed = {name: value for name, value in spec.items() if name not in may_change}
    for field in ("containers", "initContainers"):
        if field in fixed:
            fixed[field] = [{**container, "image": ""} for container in fixed[field]]
    return fixed


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _metadata(resource: Resource, metadata: Object) -> Iterator[Cause]:
    rule = _name_rule(resource)
    if metadata.get("generateName"):
        prefix = metadata["generateName"]
        yield from names.causes("metadata.generateName", prefix, names.generated(rule))
    yield from names.causes("metadata.name", metadata["name"], rule)
    yield from names.label_causes(metadata.get("labels"), "metadata.labels")
    for key in metadata.get("annotations") or ():
        yield from names.qualified_causes("metadata.annotations", key.lower(), shown=key)


def _name_rule(resource: Resource) -> names.Rule:
    if resource.group in ("apiregistration.k8s.io", "rbac.authorization.k8s.io"):
        return names.path_segment
    return names.label if resource.key in ("namespaces", "services") else names.subdomain


def _budget(obj: Object) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield status.invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            yield from workload_rules.amount_causes(f"spec.{field}", spec[field])
    policy = spec.get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
    if policy not in ("AlwaysAllow", "IfHealthyBudget"):
        supported = '"AlwaysAllow", "IfHealthyBudget"'
        yield status.unsupported_value("spec.unhealthyPodEvictionPolicy", policy, supported)


def _role(obj: Object) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        where = f"rules[{index}]"
        if not rule.get("verbs"):
            yield status.required(f"{where}.verbs", "Required value: verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            why = "Required value: resource rules must supply at least one api group"
            yield status.required(f"{where}.apiGroups", why)
        if not rule.get("resources"):
            why = "Required value: resource rules must supply at least one resource"
            yield status.required(f"{where}.resources", why)


def _quota(obj: Object) -> Iterator[Cause]:
    yield from podrules.quantity_causes((obj.get("spec") or {}).get("hard"), "spec.hard")


def _limit_range(obj: Object) -> Iterator[Cause]:
    for index, item in enumerate(obj["spec"]["limits"]):
        for field in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min"):
            yield from podrules.quantity_causes(item.get(field), f"spec.limits[{index}].{field}")


def _service(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    ports = spec.get("ports") or ()
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield status.required("spec.ports")
    for index, port in enumerate(ports):
        if not 0 < port["port"] < 65536:
            yield status.invalid_value(
                f"spec.ports[{index}].port", port["port"], "must be between 1 and 65535, inclusive"
            )
        target = port.get("targetPort", 1)
        if isinstance(target, int) and not 0 < target < 65536:
            yield status.invalid_value(
                f"spec.ports[{index}].targetPort", target, "must be between 1 and 65535, inclusive"
            )
        if len(ports) > 1 and not port.get("name"):
            yield status.required(f"spec.ports[{index}].name")


def _data(obj: Object) -> Iterator[Cause]:
    for field in ("data", "binaryData"):
        yield from names.key_causes(field, obj.get(field) or ())
    for key in (obj.get("data") or {}).keys() & (obj.get("binaryData") or {}).keys():
        yield status.invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(
        len(key) + len(value)
        for field in ("data", "binaryData")
        for key, value in (obj.get(field) or {}).items()
    )
    if size > _MAX_DATA_BYTES:
        yield Cause("data", "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA_BYTES} bytes")


def _definition(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    wanted = f"{spec['names'].get('plural')}.{spec.get('group')}"
    if obj["metadata"]["name"] != wanted:
        yield status.invalid_value(
            "metadata.name", obj["metadata"]["name"], f'must be spec.names.plural+"."+spec.group: {wanted}'
        )
    if sum(1 for version in spec["versions"] if version.get("storage")) != 1:
        yield status.invalid_value(
            "spec.versions", "", "must have exactly one version marked as storage version"
        )
    yield from _definition_names(spec)
    for index, version in enumerate(spec["versions"]):
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if not root:
            yield status.required(where, "Required value: schemas are required")
        elif root.get("type") != "object":
            yield status.invalid_value(f"{where}.type", root.get("type", ""), "must be object at the root")
        else:
            yield from _schema(root, where)


def _schema(node: Object, where: str) -> Iterator[Cause]:
    """Yield the errors of a CustomResourceDefinition's schema."""
    if "$ref" in node:
        yield Cause(f"{where}.$ref", "FieldValueForbidden", "Forbidden: $ref is not supported")
    if isinstance(node.get("items"), list):
        why = "Forbidden: items must be a schema object and not an array"
        yield Cause(f"{where}.items", "FieldValueForbidden", why)
    if (node.get("type") or "object") not in _SCHEMA_TYPES:
        supported = ", ".join(f'"{type_name}"' for type_name in _SCHEMA_TYPES)
        yield status.unsupported_value(f"{where}.type", node["type"], supported)
    for name, below in (node.get("properties") or {}).items():
        yield from _schema(below, f"{where}.properties[{name}]")
    for word in ("items", "additionalProperties", "not"):
        if isinstance(node.get(word), dict):
            yield from _schema(node[word], f"{where}.{word}")
    for word in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(node.get(word) or ()):
            yield from _schema(below, f"{where}.{word}[{index}]")


def _definition_names(spec: Object) -> Iterator[Cause]:
    """Yield the errors of a definition's names, which become parts of URL paths."""
    group = spec["group"]
    wrong = list(names.causes("spec.group", group, names.subdomain))
    if not wrong and "." not in group:
        wrong = [status.invalid_value("spec.group", group, "should be a domain with at least one dot")]
    yield from wrong
    for index, version in enumerate(spec["versions"]):
        yield from names.causes(f"spec.versions[{index}].name", version["name"], names.label_1035)
    for field in ("plural", "singular"):
        if spec["names"].get(field):
            yield from names.causes(f"spec.names.{field}", spec["names"][field], names.label_1035)
    for field in ("kind", "listKind"):
        given = spec["names"].get(field) or ""
        for why in names.label_1035(given.lower()) if given else ():
            mixed = f"may have mixed case, but should otherwise match: {why}"
            yield status.invalid_value(f"spec.names.{field}", given, mixed)
    for field in ("shortNames", "categories"):
        for index, name in enumerate(spec["names"].get(field) or ()):
            yield from names.causes(f"spec.names.{field}[{index}]", name, names.label_1035)


_OF: dict[str, Callable[[Object], Iterator[Cause]]] = {
    "configmaps": _data,
    "cronjobs.batch": workload_rules.cron_job,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "clusterroles.rbac.authorization.k8s.io": _role,
    "daemonsets.apps": workload_rules.daemon_set,
    "deployments.apps": workload_rules.deployment,
    "limitranges": _limit_range,
    "jobs.batch": workload_rules.job,
    "poddisruptionbudgets.policy": _budget,
    "pods": podrules.pod_causes,
    "replicasets.apps": workload_rules.replica_set,
    "resourcequotas": _quota,
    "secrets": _data,
    "roles.rbac.authorization.k8s.io": _role,
    "services": _service,
    "statefulsets.apps": workload_rules.stateful_set,
}
_OF_STATUS: dict[str, Callable[[Object], Iterator[Cause]]] = {"pods": podrules.status_causes}
_IMMUTABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": (("roleRef",),),
    "customresourcedefinitions.apiextensions.k8s.io": (("spec", "group"), ("spec", "scope")),
    "controllerrevisions.apps": (("data",),),
    "daemonsets.apps": (("spec", "selector"),),
    "deployments.apps": (("spec", "selector"),),
    "jobs.batch": tuple(
        ("spec", field) for field in ("selector", "template", "completions", "completionMode")
    ),
    "replicasets.apps": (("spec", "selector"),),
    "rolebindings.rbac.authorization.k8s.io": (("roleRef",),),
    "secrets": (("type",),),
}
