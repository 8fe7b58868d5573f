"""What an object must fulfil beyond its schema: names, labels, and the rules that belong to one built-in
kind.

``causes`` is everything wrong with an object as it would be stored; ``immutable`` what an update may not
change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshkit.kube import quantities
from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema import validation
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.status import Cause

Object = Mapping[str, Any]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_DATA_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_POD_RULE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to "
    "existing tolerations), `spec.terminationGracePeriodSeconds`"
)
_MAX_DATA_BYTES = 1 << 20  # of a ConfigMap or Secret, core/validation.MaxSecretSize


def causes(resource: Resource, obj: Object) -> list[Cause]:
    """Everything wrong with an object."""
    found = list(_metadata(resource, obj["metadata"]))
    for cause in validation.find_causes(resource.schema, obj):
        # Go fills the required fields of a built-in status with zero values: writers leave them out.
        lenient = (
            not resource.custom and cause.reason == "FieldValueRequired" and cause.field.startswith("status")
        )
        if not lenient:
            found.append(cause)
    rule = _OF.get(resource.key)
    if rule is not None and not found:
        found += rule(obj)
    return found


def immutable(resource: Resource, old: Object, new: Object) -> list[Cause]:
    """Fields that an update may not change."""
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
    """A pod's spec without what may change: images, a few fields, and the node of a pod that has none yet."""
    may_change = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    if not before.get("nodeName"):
        may_change.add("nodeName")
    kept = {name: value for name, value in spec.items() if name not in may_change}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{**container, "image": ""} for container in kept[field]]
    return kept


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _metadata(resource: Resource, metadata: Object) -> Iterator[Cause]:
    name = metadata["name"]
    if resource.group == "rbac.authorization.k8s.io":
        if name in (".", "..") or "/" in name or "%" in name:
            yield status.invalid_value("metadata.name", name, "may not contain '/' or '%'")
    elif resource.key in ("namespaces", "services"):
        if not _LABEL.fullmatch(name):
            yield status.invalid_value("metadata.name", name, _LABEL_RULE)
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield status.invalid_value("metadata.name", name, _SUBDOMAIN_RULE)
    yield from _labels(metadata.get("labels"), "metadata.labels")
    for key in metadata.get("annotations") or ():
        if not _QUALIFIED.fullmatch(key.lower()):
            yield status.invalid_value("metadata.annotations", key, _NAME_PART_RULE)


def _labels(labels: Object | None, path: str) -> Iterator[Cause]:
    for key, value in (labels or {}).items():
        if not _QUALIFIED.fullmatch(key):
            yield status.invalid_value(path, key, _NAME_PART_RULE)
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            why = (
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
                "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', "
                " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
            yield status.invalid_value(path, value, why)


def _workload(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    wanted = spec["selector"].get("matchLabels") or {}
    labels = (spec.get("template", {}).get("metadata") or {}).get("labels") or {}
    if not wanted and not spec["selector"].get("matchExpressions"):
        yield status.invalid_value("spec.selector", "{}", "empty selector is invalid for deployment")
    elif any(labels.get(key) != value for key, value in wanted.items()):
        yield status.invalid_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    if spec.get("replicas", 0) < 0:
        yield status.invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    yield from _labels(labels, "spec.template.metadata.labels")
    yield from _pod_spec(spec.get("template", {}).get("spec") or {}, "spec.template.spec")


def _deployment(obj: Object) -> Iterator[Cause]:
    yield from _workload(obj)
    kind = (obj["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        yield _unsupported("spec.strategy.type", kind, '"Recreate", "RollingUpdate"')
    policy = (obj["spec"].get("template", {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        yield _unsupported("spec.template.spec.restartPolicy", policy, '"Always"')


def _budget(obj: Object) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield status.invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")


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


def _job(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    pod = spec.get("template", {}).get("spec") or {}
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield _unsupported(
            "spec.template.spec.restartPolicy", pod.get("restartPolicy"), '"OnFailure", "Never"'
        )
    if spec.get("completionMode") == "Indexed":
        yield _unsupported("spec.completionMode", "Indexed", '"NonIndexed" (the sandbox knows no other)')
    for field in ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy"):
        if field in spec:
            yield Cause(f"spec.{field}", "FieldValueForbidden", "Forbidden: not known to the sandbox")
    for field in ("parallelism", "completions", "backoffLimit"):
        if spec.get(field, 0) < 0:
            why = "must be greater than or equal to 0"
            yield status.invalid_value(f"spec.{field}", spec[field], why)
    yield from _pod_spec(pod, "spec.template.spec")


def _unsupported(field: str, value: object, supported: str) -> Cause:
    why = f'Unsupported value: "{value}": supported values: {supported}'
    return Cause(field, "FieldValueNotSupported", why)


def _pod(obj: Object) -> Iterator[Cause]:
    yield from _pod_spec(obj["spec"], "spec")


def _pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield status.required(f"{path}.containers")
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            if not container.get("image"):
                yield status.required(f"{where}.image")
            if not _LABEL.fullmatch(container["name"]):
                yield status.invalid_value(f"{where}.name", container["name"], _LABEL_RULE)
            if container["name"] in names:
                yield Cause(f"{where}.name", "FieldValueDuplicate", f'Duplicate value: "{container["name"]}"')
            names.add(container["name"])
            yield from _resources(container.get("resources") or {}, f"{where}.resources")


def _resources(resources: Object, where: str) -> Iterator[Cause]:
    wrong = [
        cause
        for kind in ("limits", "requests")
        for cause in _quantities(resources.get(kind), f"{where}.{kind}")
    ]
    yield from wrong
    for name, asked in (resources.get("requests") or {}).items() if not wrong else ():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and quantities.parse(asked) > quantities.parse(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield status.invalid_value(f"{where}.requests", asked, why)


def _quantities(written: Object | None, where: str) -> Iterator[Cause]:
    for name, value in (written or {}).items():
        try:
            quantities.parse(value)
        except ValueError as error:
            yield status.invalid_value(f"{where}[{name}]", value, str(error))


def _quota(obj: Object) -> Iterator[Cause]:
    yield from _quantities((obj.get("spec") or {}).get("hard"), "spec.hard")


def _limit_range(obj: Object) -> Iterator[Cause]:
    for index, item in enumerate(obj["spec"]["limits"]):
        for field in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min"):
            yield from _quantities(item.get(field), f"spec.limits[{index}].{field}")


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
        for key in obj.get(field) or ():
            if not _DATA_KEY.fullmatch(key):
                yield status.invalid_value(f"{field}[{key}]", key, _DATA_KEY_RULE)
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
    for index, version in enumerate(spec["versions"]):
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if not root:
            yield status.required(where, "Required value: schemas are required")
        elif root.get("type") != "object":
            yield status.invalid_value(f"{where}.type", root.get("type", ""), "must be object at the root")


_OF: dict[str, Callable[[Object], Iterator[Cause]]] = {
    "configmaps": _data,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "clusterroles.rbac.authorization.k8s.io": _role,
    "deployments.apps": _deployment,
    "limitranges": _limit_range,
    "jobs.batch": _job,
    "poddisruptionbudgets.policy": _budget,
    "pods": _pod,
    "replicasets.apps": _workload,
    "resourcequotas": _quota,
    "secrets": _data,
    "roles.rbac.authorization.k8s.io": _role,
    "services": _service,
}
_IMMUTABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": (("roleRef",),),
    "customresourcedefinitions.apiextensions.k8s.io": (("spec", "group"), ("spec", "scope")),
    "deployments.apps": (("spec", "selector"),),
    "jobs.batch": tuple(
        ("spec", field) for field in ("selector", "template", "completions", "completionMode")
    ),
    "replicasets.apps": (("spec", "selector"),),
    "rolebindings.rbac.authorization.k8s.io": (("roleRef",),),
    "secrets": (("type",),),
}
