"""Registry of the served resources, both built-in and defined by CustomResourceDefinitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.api.schema import builtin
from meshkit.sandbox.api.schema import types as schema
from meshkit.sandbox.api.schema.types import Schema

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CHANGED = ("get", "patch", "update")
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True)
class Subresource:
    """Describe a subresource by its verbs and the kind of its body.

    ``kind`` is empty for the object's own kind. ``schema_name`` is the definition of that kind; without one
    the subresource has no body of its own kind.
    """

    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = "v1"
    schema_name: str = ""


SUBRESOURCES: Mapping[str, Subresource] = {
    "eviction": Subresource(("create",), "Eviction", "policy", "v1", "io.k8s.api.policy.v1.Eviction"),
    "finalize": Subresource(("update",)),
    "log": Subresource(("get",)),
    "portforward": Subresource(("create", "get"), "PodPortForwardOptions"),
    "proxy": Subresource(("create", "delete", "get", "patch", "update"), "PodProxyOptions"),
    "scale": Subresource(_CHANGED, "Scale", "autoscaling", "v1", "io.k8s.api.autoscaling.v1.Scale"),
    "status": Subresource(_CHANGED),
    "token": Subresource(
        ("create",),
        "TokenRequest",
        "authentication.k8s.io",
        "v1",
        "io.k8s.api.authentication.v1.TokenRequest",
    ),
}


@dataclass(frozen=True, eq=False)
class Resource:
    """Describe one resource in one version.

    ``schema_name`` is the name of its definition in OpenAPI documents.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Schema
    schema_name: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    custom: bool = False
    storage_version: str = ""
    columns: tuple[Mapping[str, Any], ...] = ()  # additionalPrinterColumns of a custom resource
    scale_paths: Mapping[str, str] | None = None
    list_kind: str = ""

    @property
    def key(self) -> str:
        """Return the name that is the same in every version, such as ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Return the apiVersion, such as ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_api_version(self) -> str:
        """Return the apiVersion of stored objects."""
        version = self.storage_version or self.version
        return f"{self.group}/{version}" if self.group else version

    @property
    def path(self) -> str:
        """Return the path of the group version, such as ``/apis/apps/v1`` or ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def verbs_of(self, subresource: str) -> tuple[str, ...]:
        """Return the supported verbs of a subresource, or with an empty name of the resource itself."""
        if not subresource:
            return self.verbs
        return SUBRESOURCES[subresource].verbs if subresource in self.subresources else ()

    def body_of(self, subresource: str) -> Resource:
        """Return the resource that describes a subresource's body, such as Scale, or this resource."""
        served = SUBRESOURCES.get(subresource, Subresource(()))
        if not served.schema_name:
            return self
        return Resource(
            served.group,
            served.version,
            served.kind,
            self.plural,
            self.namespaced,
            schema.definition(served.schema_name),
            served.schema_name,
        )

    @property
    def replicas_path(self) -> tuple[str, ...]:
        """Return the path of a workload's desired replicas, such as ``("spec", "replicas")``."""
        path: str = (self.scale_paths or {}).get("specReplicasPath", ".spec.replicas")
        return tuple(path.removeprefix(".").split("."))


class Registry:
    """Look up the served resources.

    ``generation`` increases with every change, so that caches can detect it.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._resources: dict[tuple[str, str, str], Resource] = {}
        for resource in _built_in():
            self._add(resource)

    def _add(self, resource: Resource) -> None:
        self._resources[(resource.group, resource.version, resource.plural)] = resource

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource of a group, version and plural, or None."""
        return self._resources.get((group, version, plural))

    def by_key(self, key: str) -> Resource | None:
        """Return the resource of a ``plural.group`` key in its storage version, or None."""
        plural, _, group = key.partition(".")
        for resource in self:
            if (resource.group, resource.plural) == (group, plural) and resource.storage_version in (
                "",
                resource.version,
            ):
                return resource
        return None

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of an apiVersion and kind, or None."""
        group, _, version = api_version.rpartition("/")
        for resource in self:
            if (resource.group, resource.version, resource.kind) == (group, version, kind):
                return resource
        return None

    def versions(self) -> dict[str, list[str]]:
        """Return the served versions by group, the core group first, in each the preferred version first."""
        versions_by_group: dict[str, list[str]] = {}
        for resource in self:
            known = versions_by_group.setdefault(resource.group, [])
            if resource.version not in known:
                known.append(resource.version)
        return {group: sorted(known, key=version_order) for group, known in versions_by_group.items()}

    def of_version(self, group: str, version: str) -> list[Resource]:
        """Return every resource of one group version."""
        return [resource for resource in self if (resource.group, resource.version) == (group, version)]

    def define(self, crd: Mapping[str, Any]) -> None:
        """Register the resources of a CustomResourceDefinition, replacing earlier ones."""
        self.forget(crd)
        for resource in _custom(crd):
            self._add(resource)

    def forget(self, crd: Mapping[str, Any]) -> None:
        """Remove the resources of a CustomResourceDefinition."""
        self.generation += 1
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        for known in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
            if self._resources[known].custom:
                del self._resources[known]


def version_order(version: str) -> tuple[bool, int, int, int, str]:
    """Return the sort key of a version: v2, v1, v1beta2, v1beta1, v1alpha1, then other names."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return True, 0, 0, 0, version
    stage = ("", "beta", "alpha").index(match[2] or "")
    return False, stage, -int(match[1]), -int(match[3] or 0), ""


def _built_in() -> Iterator[Resource]:
    for group, (package, kinds) in builtin.KINDS.items():
        for marked, plural, short_names, subresources in kinds:
            kind = marked.rstrip("*")
            yield Resource(
                group=group,
                version=package.rpartition(".")[2],
                kind=kind,
                plural=plural,
                namespaced=not marked.endswith("*"),
                schema=schema.definition(f"{package}.{kind}"),
                schema_name=f"{package}.{kind}",
                singular=kind.lower(),
                short_names=tuple(short_names.split()),
                categories=("all",) if plural in builtin.IN_ALL else builtin.CATEGORIES.get(group, ()),
                subresources=tuple(subresources.split()),
                verbs=_verbs(group, plural),
                list_kind=f"{kind}List",
            )


def _verbs(group: str, plural: str) -> tuple[str, ...]:
    if group in builtin.REVIEW_GROUPS:
        return ("create",)
    return tuple(verb for verb in VERBS if verb != "deletecollection" or plural != "namespaces")


def _custom(crd: Mapping[str, Any]) -> Iterator[Resource]:
    spec = crd["spec"]
    names = spec["names"]
    stored = next((candidate["name"] for candidate in spec["versions"] if candidate.get("storage")), "")
    reversed_group = ".".join(reversed(spec["group"].split(".")))
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        yield Resource(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            schema=schema.of_custom_resource(version.get("schema", {}).get("openAPIV3Schema", {})),
            schema_name=f"{reversed_group}.{version['name']}.{names['kind']}",
            singular=names.get("singular") or names["kind"].lower(),
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            subresources=tuple(sorted(subresources)),
            custom=True,
            storage_version=stored,
            columns=tuple(version.get("additionalPrinterColumns", ())),
            scale_paths=subresources.get("scale"),
            list_kind=names.get("listKind") or f"{names['kind']}List",
        )
