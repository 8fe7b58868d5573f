"""Generate the two data files of this package from published packages.

Run it manually when the Kubernetes version changes::

    python -m meshkit.sandbox.api.schema.published.generate GO_MODULES

``GO_MODULES`` is the folder that holds ``k8s.io/api@vX``, ``k8s.io/apimachinery@vX``,
``k8s.io/apiextensions-apiserver@vX`` and ``k8s.io/kube-aggregator@vX`` (``go mod download`` puts them below
``$(go env GOMODCACHE)``): their ``generated.proto`` files contain the field numbers. The schemas come from
the PyPI package ``kubernetes-validate``. Descriptions are omitted; names, types, list types and merge keys
remain.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

VERSION = "v1.37.0"
ROOTS = (
    *(f"io.k8s.api.core.v1.{kind}" for kind in (
        "Binding", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node", "PersistentVolume",
        "PersistentVolumeClaim", "Pod", "ResourceQuota", "Secret", "Service", "ServiceAccount",
    )),
    "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    "io.k8s.api.apps.v1.ControllerRevision",
    "io.k8s.api.apps.v1.DaemonSet",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.batch.v1.Job",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.discovery.v1.EndpointSlice",
    "io.k8s.api.networking.v1.Ingress",
    "io.k8s.api.networking.v1.IngressClass",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.policy.v1.PodDisruptionBudget",
    "io.k8s.api.rbac.v1.ClusterRole",
    "io.k8s.api.rbac.v1.ClusterRoleBinding",
    "io.k8s.api.rbac.v1.Role",
    "io.k8s.api.rbac.v1.RoleBinding",
    "io.k8s.api.storage.v1.StorageClass",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
)  # fmt: skip
# The published schemas carry no defaults; these two are part of the key of a list item, so they are needed.
KEY_DEFAULTS = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}
_REF = "#/components/schemas/"
_FIELD = re.compile(r"^\s*(optional|repeated|required)?\s*(map<\w+,\s*([\w.]+)>|[.\w]+)\s+(\w+)\s*=\s*(\d+);")
_SCALARS = {"string", "bytes", "bool", "double", "int32", "int64", "uint32", "uint64", "float"}


def main() -> None:
    """Write ``builtin.json.gz`` and ``protobuf.json.gz`` next to this file."""
    parser = argparse.ArgumentParser(description="Generate the schema data of the sandbox's API server.")
    parser.add_argument("go_modules", type=Path)
    modules: Path = parser.parse_args().go_modules
    source = (
        resources.files("kubernetes_validate") / f"kubernetes-json-schema/{VERSION}-local/_definitions.json"
    )
    published = json.loads(source.read_text(encoding="utf-8"))["$defs"]
    chosen = {name: _facts(name, published[name]) for name in _closure(published, ROOTS)}
    _write("builtin.json.gz", chosen)
    _write("protobuf.json.gz", _messages(modules, chosen))


def _closure(published: dict[str, Any], roots: Iterable[str]) -> list[str]:
    """Return every definition that the roots reference, directly or indirectly."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(published[name]))
    return sorted(seen)


def _facts(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Return a definition without descriptions in OpenAPI v3 form (one type, references to components)."""
    facts: dict[str, Any] = _openapi_v3(definition)
    kinds = [entry["kind"] for entry in facts.get("x-kubernetes-group-version-kind", ())]
    if kinds:
        for field in ("apiVersion", "kind"):
            facts["properties"][field].pop("enum", None)
    if name.endswith("intstr.IntOrString"):
        facts["x-kubernetes-int-or-string"] = True
    for field, value in KEY_DEFAULTS.get(name, {}).items():
        facts["properties"][field]["default"] = value
    return facts


def _openapi_v3(node: Any) -> Any:
    if isinstance(node, list):
        return [_openapi_v3(item) for item in node]
    if not isinstance(node, dict):
        return node
    facts: dict[str, Any] = {}
    for key, value in node.items():
        if key == "description" and isinstance(value, str):
            continue
        if key == "type" and isinstance(value, list):
            facts[key] = next(each for each in value if each != "null")
        elif key == "$ref" and isinstance(value, str):
            facts[key] = value.replace("#/$defs/", _REF)
        else:
            facts[key] = _openapi_v3(value)
    if "$ref" in facts and isinstance(facts["$ref"], str) and len(facts) > 1:
        facts["allOf"] = [{"$ref": facts.pop("$ref")}]
    return facts


def _messages(modules: Path, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the protobuf messages of the selected definitions.

    Types without a message of their own are encoded as JSON inside others.
    """
    files = [
        path
        for module in ("api", "apimachinery", "apiextensions-apiserver", "kube-aggregator")
        for path in sorted((modules / "k8s.io").glob(f"{module}@*/**/generated.proto"))
    ]
    messages: dict[str, dict[str, list[Any]]] = {}
    for file in files:
        messages.update(_parse(file.read_text(encoding="utf-8")))
    return {
        name: {number: _json_field(definitions.get(name), *entry) for number, entry in fields.items()}
        for name, fields in sorted(messages.items())
        if name in _needed(messages, definitions)
    }


def _needed(messages: dict[str, dict[str, list[Any]]], definitions: dict[str, Any]) -> set[str]:
    seen: set[str] = set()
    waiting = [name for name in definitions if name in messages]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [kind for _, kind, _ in messages[name].values() if kind in messages]
    return seen


def _json_field(definition: dict[str, Any] | None, field: str, kind: str, flag: str) -> list[Any]:
    """Return the JSON name, type and flag of a protobuf field.

    Names match when case and punctuation are ignored. A field without a JSON name is an embedded struct and
    has the flag ``inline``.
    """
    if definition is None or "properties" not in definition:
        return [field, kind, flag]
    for member in definition["properties"]:
        if re.sub(r"\W", "", member).lower() == field.lower():
            return [member, kind, flag]
    return [field, kind, "inline"]


def _parse(text: str) -> dict[str, dict[str, list[Any]]]:
    """Parse the messages of one .proto file.

    Returns ``{message: {number: [field, type, "" | "repeated" | "map"]}}`` with published names.
    """
    match = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
    package = match[1] if match else ""
    messages: dict[str, dict[str, list[Any]]] = {}
    fields: dict[str, list[Any]] = {}
    for line in text.splitlines():
        if opened := re.match(r"^message (\w+) \{", line):
            fields = messages.setdefault(_published(f"{package}.{opened[1]}"), {})
        elif field := _FIELD.match(line):
            label, kind, mapped, name, number = field.groups()
            flag = "map" if mapped else "repeated" if label == "repeated" else ""
            kind = mapped or kind
            if kind not in _SCALARS:
                kind = _published(kind if "." in kind else f"{package}.{kind}")
            fields[number] = [name, kind, flag]
    return messages


def _published(name: str) -> str:
    """Return the published name of a protobuf type, such as ``io.k8s.api.core.v1.Pod``."""
    published = re.sub(r"^\.?k8s\.io\.", "io.k8s.", name)
    for module in ("apiextensions-apiserver", "kube-aggregator"):
        published = published.replace(module.replace("-", "_"), module)
    return published


def _write(name: str, data: dict[str, Any]) -> None:
    text = json.dumps(data, separators=(",", ":"), sort_keys=True)
    Path(__file__).with_name(name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
