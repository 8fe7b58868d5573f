"""API discovery documents, both aggregated (v2, for kubectl and Helm) and legacy."""

from __future__ import annotations

from typing import Any

from meshkit.sandbox.api.schema.registry import SUBRESOURCES, Registry, Resource

VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0+meshkit.sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """Return the APIGroupDiscoveryList of the core group or of all other groups."""
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated(resource) for resource in registry.of_version(group, version)],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for group, versions in registry.versions().items()
        if (group == "") == core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _answer(resource, name),
                "verbs": list(resource.verbs_of(name)),
            }
            for name in resource.subresources
        ]
    return entry


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _answer(resource: Resource, subresource: str) -> dict[str, str]:
    served = SUBRESOURCES[subresource]
    if not served.kind:
        return _kind(resource.group, resource.version, resource.kind)
    return _kind(served.group, served.version, served.kind)


def core_versions() -> dict[str, Any]:
    """Return the ``/api`` document."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    }


def groups(registry: Registry) -> dict[str, Any]:
    """Return the ``/apis`` document."""
    named = [name for name in registry.versions() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(registry, name) for name in named]}


def group(registry: Registry, name: str) -> dict[str, Any]:
    """Return the ``/apis/GROUP`` document."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, name)}


def _group(registry: Registry, name: str) -> dict[str, Any]:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version} for version in registry.versions()[name]
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(registry: Registry, group_name: str, version: str) -> dict[str, Any]:
    """Return the ``/apis/GROUP/VERSION`` or ``/api/v1`` document."""
    entries: list[dict[str, Any]] = []
    for resource in registry.of_version(group_name, version):
        entry: dict[str, Any] = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
            "shortNames": list(resource.short_names),
            "categories": list(resource.categories),
        }
        entries.append(
            {key: value for key, value in entry.items() if value not in ([], "") or key == "singularName"}
        )
        for name in resource.subresources:
            answer = _answer(resource, name)
            if answer["group"] in ("", group_name):  # omitted when it is the document's own
                answer = {"kind": answer["kind"]}
            entries.append(
                {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    **answer,
                    "verbs": list(resource.verbs_of(name)),
                }
            )
    group_version = f"{group_name}/{version}" if group_name else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": entries,
    }
