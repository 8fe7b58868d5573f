"""The resources served: the built-in ones as a table, and those that CustomResourceDefinitions add at run
time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.api.schema import types as schema
from meshkit.sandbox.api.schema.types import Schema

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CHANGED = ("get", "patch", "update")
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True)
class Subresource:
    """What hangs below an object: the verbs that it answers, and the kind of its body where that is not the
    object's own. ``schema_name`` is that kind's definition; without one there is nothing to read or write.
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
    """One resource in one version. ``schema_name`` is its definition's name in OpenAPI documents."""

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
        """``deployments.apps``: the same for every version."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_api_version(self) -> str:
        """The apiVersion under which objects lie in the store."""
        version = self.storage_version or self.version
        return f"{self.group}/{version}" if self.group else version

    @property
    def path(self) -> str:
        """``/apis/apps/v1`` or ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def verbs_of(self, subresource: str) -> tuple[str, ...]:
        """What is served of the resource itself (an empty name) or of one of its subresources."""
        if not subresource:
            return self.verbs
        return SUBRESOURCES[subresource].verbs if subresource in self.subresources else ()

    def body_of(self, subresource: str) -> Resource:
        """The resource that describes the bodies at a subresource: Scale, Eviction, or this one itself."""
        found = SUBRESOURCES.get(subresource, Subresource(()))
        if not found.schema_name:
            return self
        return Resource(
            found.group,
            found.version,
            found.kind,
            self.plural,
            self.namespaced,
            schema.definition(found.schema_name),
            found.schema_name,
        )

    @property
    def replicas_path(self) -> tuple[str, ...]:
        """Where a workload keeps the replicas that it should have: ``spec``, ``replicas``."""
        path: str = (self.scale_paths or {}).get("specReplicasPath", ".spec.replicas")
        return tuple(path.removeprefix(".").split("."))


# group: (definitions' package, ((kind, plural, short names, subresources), ...)); * marks a cluster-wide kind
_BUILT_IN: dict[str, tuple[str, tuple[tuple[str, str, str, str], ...]]] = {
    "": (
        "io.k8s.api.core.v1",
        (
            ("ConfigMap", "configmaps", "cm", ""),
            ("Endpoints", "endpoints", "ep", ""),
            ("Event", "events", "ev", ""),
            ("LimitRange", "limitranges", "limits", ""),
            ("Namespace*", "namespaces", "ns", "finalize status"),
            ("Node*", "nodes", "no", "status"),
            ("Pod", "pods", "po", "eviction log proxy status"),
            ("ResourceQuota", "resourcequotas", "quota", "status"),
            ("Secret", "secrets", "", ""),
            ("ServiceAccount", "serviceaccounts", "sa", "token"),
            ("Service", "services", "svc", "status"),
        ),
    ),
    "apps": (
        "io.k8s.api.apps.v1",
        (
            ("Deployment", "deployments", "deploy", "scale status"),
            ("ReplicaSet", "replicasets", "rs", "scale status"),
        ),
    ),
    "admissionregistration.k8s.io": (
        "io.k8s.api.admissionregistration.v1",
        (
            ("MutatingWebhookConfiguration*", "mutatingwebhookconfigurations", "", ""),
            ("ValidatingWebhookConfiguration*", "validatingwebhookconfigurations", "", ""),
        ),
    ),
    "apiextensions.k8s.io": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
        (("CustomResourceDefinition*", "customresourcedefinitions", "crd crds", "status"),),
    ),
    "authentication.k8s.io": (
        "io.k8s.api.authentication.v1",
        (
            ("SelfSubjectReview*", "selfsubjectreviews", "", ""),
            ("TokenReview*", "tokenreviews", "", ""),
        ),
    ),
    "authorization.k8s.io": (
        "io.k8s.api.authorization.v1",
        (
            ("SelfSubjectAccessReview*", "selfsubjectaccessreviews", "", ""),
            ("SelfSubjectRulesReview*", "selfsubjectrulesreviews", "", ""),
            ("SubjectAccessReview*", "subjectaccessreviews", "", ""),
        ),
    ),
    "batch": (
        "io.k8s.api.batch.v1",
        (("CronJob", "cronjobs", "cj", "status"), ("Job", "jobs", "", "status")),
    ),
    "coordination.k8s.io": ("io.k8s.api.coordination.v1", (("Lease", "leases", "", ""),)),
    "discovery.k8s.io": ("io.k8s.api.discovery.v1", (("EndpointSlice", "endpointslices", "", ""),)),
    "networking.k8s.io": ("io.k8s.api.networking.v1", (("NetworkPolicy", "networkpolicies", "netpol", ""),)),
    "policy": ("io.k8s.api.policy.v1", (("PodDisruptionBudget", "poddisruptionbudgets", "pdb", "status"),)),
    "rbac.authorization.k8s.io": (
        "io.k8s.api.rbac.v1",
        (
            ("ClusterRoleBinding*", "clusterrolebindings", "", ""),
            ("ClusterRole*", "clusterroles", "", ""),
            ("RoleBinding", "rolebindings", "", ""),
            ("Role", "roles", "", ""),
        ),
    ),
}
_CATEGORIES = {
    "admissionregistration.k8s.io": ("api-extensions",),
    "apiextensions.k8s.io": ("api-extensions",),
}
_ASKED_ONLY = ("authentication.k8s.io", "authorization.k8s.io")  # reviews are answered, not stored
_IN_ALL = {"pods", "services", "deployments", "replicasets", "cronjobs", "jobs"}


class Registry:
    """Which resources there are. ``generation`` moves with every change, for caches built from it."""

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
        """The resource at an address."""
        return self._resources.get((group, version, plural))

    def by_key(self, key: str) -> Resource | None:
        """The resource by ``plural.group``, in the version that is stored."""
        plural, _, group = key.partition(".")
        for resource in self:
            if (resource.group, resource.plural) == (group, plural) and resource.storage_version in (
                "",
                resource.version,
            ):
                return resource
        return None

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource that holds objects of a kind."""
        group, _, version = api_version.rpartition("/")
        for resource in self:
            if (resource.group, resource.version, resource.kind) == (group, version, kind):
                return resource
        return None

    def versions(self) -> dict[str, list[str]]:
        """Group -> served versions, the core group first."""
        found: dict[str, list[str]] = {}
        for resource in self:
            known = found.setdefault(resource.group, [])
            if resource.version not in known:
                known.append(resource.version)
        return found

    def of_version(self, group: str, version: str) -> list[Resource]:
        """Every resource of one group and version."""
        return [each for each in self if (each.group, each.version) == (group, version)]

    def define(self, crd: Mapping[str, Any]) -> None:
        """Serve what a CustomResourceDefinition declares, in place of what it declared before."""
        self.forget(crd)
        for resource in _custom(crd):
            self._add(resource)

    def forget(self, crd: Mapping[str, Any]) -> None:
        """Serve it no more."""
        self.generation += 1
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        for known in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
            if self._resources[known].custom:
                del self._resources[known]


def _built_in() -> Iterator[Resource]:
    for group, (package, kinds) in _BUILT_IN.items():
        for marked, plural, short_names, subresources in kinds:
            kind = marked.rstrip("*")
            yield Resource(
                group=group,
                version="v1",
                kind=kind,
                plural=plural,
                namespaced=not marked.endswith("*"),
                schema=schema.definition(f"{package}.{kind}"),
                schema_name=f"{package}.{kind}",
                singular=kind.lower(),
                short_names=tuple(short_names.split()),
                categories=("all",) if plural in _IN_ALL else _CATEGORIES.get(group, ()),
                subresources=tuple(subresources.split()),
                verbs=_verbs(group, plural),
                list_kind=f"{kind}List",
            )


def _verbs(group: str, plural: str) -> tuple[str, ...]:
    if group in _ASKED_ONLY:
        return ("create",)
    return tuple(verb for verb in VERBS if verb != "deletecollection" or plural != "namespaces")


def _custom(crd: Mapping[str, Any]) -> Iterator[Resource]:
    spec = crd["spec"]
    names = spec["names"]
    stored = next((each["name"] for each in spec["versions"] if each.get("storage")), "")
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
