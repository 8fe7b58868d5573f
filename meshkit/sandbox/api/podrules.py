"""Validate the spec of a pod or pod template beyond its schema.

Field paths and messages match k8s.io/kubernetes pkg/apis/core/validation, including the paths in which it
omits an index.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from meshkit.kube import quantities
from meshkit.sandbox.api import names, status
from meshkit.sandbox.api.status import Cause

Object = Mapping[str, Any]

_MOST_MODE = 0o777
_MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"
_MOST_PORT = 65535
_EPHEMERAL = "ephemeralContainers"
_KINDS_OF_VALUE = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_VOLUME_KINDS = (
    *(
        "emptyDir",
        "hostPath",
        "gitRepo",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "secret",
        "nfs",
        "iscsi",
    ),
    *("glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI"),
    *(
        "fc",
        "flexVolume",
        "configMap",
        "azureFile",
        "vsphereVolume",
        "photonPersistentDisk",
        "portworxVolume",
    ),
    *("azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral", "image"),
)
"""The volume sources in the order in which Kubernetes checks them; a volume may have only one."""


def pod_causes(pod: Object) -> Iterator[Cause]:
    """Yield the validation errors of a pod."""
    yield from spec_causes(pod["spec"], "spec")
    if pod["spec"].get(_EPHEMERAL):
        yield _forbidden(f"spec.{_EPHEMERAL}", "cannot be set on create")


def template_causes(template: Object, path: str) -> Iterator[Cause]:
    """Yield the validation errors of a workload's pod template."""
    spec = template.get("spec") or {}
    yield from spec_causes(spec, f"{path}.spec")
    if spec.get(_EPHEMERAL):
        yield _forbidden(f"{path}.spec.{_EPHEMERAL}", "ephemeral containers not allowed in pod template")


def status_causes(pod: Object) -> Iterator[Cause]:
    """Yield the validation errors of a pod's status.

    The addresses are validated because other components connect to them.
    """
    pod_status = pod.get("status") or {}
    first = pod_status.get("podIP") or ""
    addresses = [entry.get("ip", "") for entry in pod_status.get("podIPs") or ()] or [first]
    for index, address in enumerate(addresses):
        if address and not _is_address(address):
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield status.invalid_value(f"status.podIPs[{index}]", address, why)
    if addresses[0] != first:
        yield status.invalid_value("status.podIPs[0].ip", addresses[0], "must be equal to `podIP`")


def address_causes(pod: Object, old: Object | None) -> Iterator[Cause]:
    """Yield an error for each address in a pod's status that is not the one that its node wrote.

    Services and gateways send requests to these addresses, so whoever may write pods/status could otherwise
    lead them to any program of this machine.
    """
    now, before = (found.get("status") or {} for found in (pod, old or {}))
    for field in ("podIP", "podIPs"):
        if now.get(field) and now[field] != before.get(field):
            yield Cause(
                f"status.{field}", "FieldValueForbidden", "Forbidden: only the pod's node sets its address"
            )


def spec_causes(spec: Object, path: str) -> Iterator[Cause]:
    """Yield the validation errors of a pod spec."""
    volumes: set[str] = set()
    yield from _volumes(spec.get("volumes") or (), f"{path}.volumes", volumes)
    if not spec.get("containers"):
        yield status.required(f"{path}.containers")
    taken: set[str] = set()
    for kind in ("containers", "initContainers", _EPHEMERAL):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{path}.{kind}[{index}]", volumes, taken)
    rules: tuple[tuple[str, names.Rule], ...] = (
        ("serviceAccountName", names.subdomain),
        ("nodeName", names.subdomain),
        ("hostname", names.label),
        ("subdomain", names.label),
        ("priorityClassName", names.subdomain),
        ("runtimeClassName", names.subdomain),
    )
    for field, rule in rules:
        if spec.get(field):
            yield from names.causes(f"{path}.{field}", spec[field], rule)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _forbidden(field: str, why: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def _duplicate(field: str, value: str) -> Cause:
    return Cause(field, "FieldValueDuplicate", f'Duplicate value: "{value}"')


# --- volumes


def _volumes(volumes: Sequence[Object], path: str, taken: set[str]) -> Iterator[Cause]:
    """Yield the validation errors of volumes and add the names of valid volumes to ``taken``."""
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume["name"]
        problems = [
            *_volume_source(volume, where),
            *names.required_causes(f"{where}.name", name, names.label),
        ]
        if name in taken:
            problems.append(_duplicate(f"{where}.name", name))
        if not problems:
            taken.add(name)
        yield from problems


def _volume_source(volume: Object, path: str) -> Iterator[Cause]:
    kinds = [kind for kind in _VOLUME_KINDS if kind in volume]
    for kind in kinds[1:]:
        yield _forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")
    for kind in kinds[:1]:
        if kind in _OF_VOLUME:
            yield from _OF_VOLUME[kind](volume[kind], f"{path}.{kind}")


def _secret(source: Object, path: str) -> Iterator[Cause]:
    yield from names.required_causes(f"{path}.secretName", source.get("secretName"))
    yield from _mode(source, "defaultMode", path)
    yield from _items(source, path)


def _config_map(source: Object, path: str) -> Iterator[Cause]:
    yield from names.required_causes(f"{path}.name", source.get("name"))
    yield from _mode(source, "defaultMode", path)
    yield from _items(source, path)


def _items(source: Object, path: str) -> Iterator[Cause]:
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        yield from names.required_causes(f"{where}.key", item["key"])
        yield from _file(item, where)


def _file(item: Object, path: str) -> Iterator[Cause]:
    yield from names.required_causes(f"{path}.path", item["path"], names.volume_file)
    yield from _mode(item, "mode", path)


def _mode(holder: Object, field: str, path: str) -> Iterator[Cause]:
    mode = holder.get(field)
    if mode is not None and not 0 <= mode <= _MOST_MODE:
        yield status.invalid_value(f"{path}.{field}", mode, _MODE_RULE)


def _downward(source: Object, path: str) -> Iterator[Cause]:
    yield from _mode(source, "defaultMode", path)
    for item in source.get("items") or ():
        yield from _file(item, path)


def _host_path(source: Object, path: str) -> Iterator[Cause]:
    yield from names.required_causes(f"{path}.path", source["path"], names.without_backsteps)


def _git_repo(source: Object, path: str) -> Iterator[Cause]:
    yield from names.causes(f"{path}.directory", source.get("directory") or "", names.descending_path)


def _claim(source: Object, path: str) -> Iterator[Cause]:
    yield from names.required_causes(f"{path}.claimName", source["claimName"])


def _projected(source: Object, path: str) -> Iterator[Cause]:
    yield from _mode(source, "defaultMode", path)
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        yield from _projection(projection, where, path)
        for kind in ("secret", "configMap", "downwardAPI"):
            for item in (projection.get(kind) or {}).get("items") or ():
                if item["path"] in taken:
                    owner = projection[kind].get("name", item["path"])
                    yield status.invalid_value(path, owner, "conflicting duplicate paths")
                taken.add(item["path"])
        if len(projection) > 1:
            yield _forbidden(where, "may not specify more than 1 volume type per source")


def _projection(source: Object, where: str, path: str) -> Iterator[Cause]:
    for kind in ("secret", "configMap"):
        if kind in source:
            yield from names.required_causes(f"{where}.{kind}.name", source[kind].get("name"))
            yield from _items(source[kind], f"{where}.{kind}")
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        yield from _file(item, f"{where}.downwardAPI")
    if "serviceAccountToken" in source:
        token = source["serviceAccountToken"]
        yield from names.required_causes(f"{path}.path", token["path"], names.volume_file)
    if "clusterTrustBundle" in source:
        bundle, here = source["clusterTrustBundle"], f"{where}.clusterTrustBundle.path"
        yield from names.required_causes(here, bundle["path"], names.volume_file)
    certificate = source.get("podCertificate") or {}
    for field in ("credentialBundlePath", "keyPath", "certificateChainPath"):
        here = f"{where}.podCertificate.{field}"
        yield from names.causes(here, certificate.get(field) or "", names.volume_file)


_OF_VOLUME: dict[str, Callable[[Object, str], Iterator[Cause]]] = {
    "configMap": _config_map,
    "downwardAPI": _downward,
    "gitRepo": _git_repo,
    "hostPath": _host_path,
    "persistentVolumeClaim": _claim,
    "projected": _projected,
    "secret": _secret,
}


# --- containers


def _container(container: Object, path: str, volumes: set[str], taken: set[str]) -> Iterator[Cause]:
    name = container["name"]
    yield from names.required_causes(f"{path}.name", name, names.label)
    if not container.get("image"):
        yield status.required(f"{path}.image")
    yield from _ports(container.get("ports") or (), f"{path}.ports")
    yield from _env(container.get("env") or (), f"{path}.env")
    yield from _env_from(container.get("envFrom") or (), f"{path}.envFrom")
    yield from _mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    if name in taken:
        yield _duplicate(f"{path}.name", name)
    taken.add(name)


def _ports(ports: Sequence[Object], path: str) -> Iterator[Cause]:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name")
        if name:
            wrong = list(names.causes(f"{where}.name", name, names.port_name))
            yield from wrong or ([_duplicate(f"{where}.name", name)] if name in taken else [])
            taken.add(name)
        for field in ("containerPort", "hostPort"):
            number = port.get(field)
            if number is not None and not (0 < number <= _MOST_PORT or (field == "hostPort" and not number)):
                why = f"must be between 1 and {_MOST_PORT}, inclusive"
                yield status.invalid_value(f"{where}.{field}", number, why)


def _env(variables: Sequence[Object], path: str) -> Iterator[Cause]:
    for index, variable in enumerate(variables):
        where = f"{path}[{index}]"
        yield from names.required_causes(f"{where}.name", variable["name"], names.variable)
        if "valueFrom" in variable:
            yield from _value_from(variable, f"{where}.valueFrom")


def _value_from(variable: Object, path: str) -> Iterator[Cause]:
    source = variable["valueFrom"]
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            chosen, where = source[kind], f"{path}.{kind}"
            yield from names.causes(f"{where}.name", chosen.get("name") or "", names.subdomain)
            yield from names.required_causes(f"{where}.key", chosen["key"], names.data_key)
    if "fileKeyRef" in source:
        chosen, where = source["fileKeyRef"], f"{path}.fileKeyRef"
        yield from names.required_causes(f"{where}.key", chosen["key"], names.variable)
        yield from names.required_causes(f"{where}.volumeName", chosen["volumeName"], names.label)
        yield from names.required_causes(f"{where}.path", chosen["path"], names.without_backsteps)
    given = sum(1 for kind in _KINDS_OF_VALUE if kind in source)
    if given == 0:
        known = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield status.invalid_value(path, "", f"must specify one of: {known}")
    elif variable.get("value"):
        yield status.invalid_value(path, "", "may not be specified when `value` is not empty")
    elif given > 1:
        yield status.invalid_value(path, "", "may not have more than one field specified at a time")


def _env_from(sources: Sequence[Object], path: str) -> Iterator[Cause]:
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        yield from names.causes(f"{where}.prefix", source.get("prefix") or "", names.variable)
        given = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        for kind in given:
            name = source[kind].get("name")
            yield from names.required_causes(f"{where}.{kind}.name", name, names.generated(names.subdomain))
        if not given:
            yield status.invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield status.invalid_value(path, "", "may not have more than one field specified at a time")


def _mounts(mounts: Sequence[Object], path: str, volumes: set[str]) -> Iterator[Cause]:
    taken: set[str] = set()
    for index, mount in enumerate(mounts):
        where, place = f"{path}[{index}]", mount["mountPath"]
        yield from names.required_causes(f"{where}.name", mount["name"])
        if mount["name"] not in volumes:
            yield Cause(f"{where}.name", "FieldValueNotFound", f'Not found: "{mount["name"]}"')
        yield from names.required_causes(f"{where}.mountPath", place)
        if place in taken:
            yield status.invalid_value(f"{where}.mountPath", place, "must be unique")
        taken.add(place)
        within, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
        yield from names.causes(f"{path}.subPath", within, names.descending_path)
        if within and expression:
            why = "subPathExpr and subPath are mutually exclusive"
            yield status.invalid_value(f"{where}.subPathExpr", expression, why)
        yield from names.causes(f"{path}.subPathExpr", expression, names.descending_path)


def _resources(resources: Object, where: str) -> Iterator[Cause]:
    wrong = [
        cause
        for kind in ("limits", "requests")
        for cause in quantity_causes(resources.get(kind), f"{where}.{kind}")
    ]
    yield from wrong
    for name, request in (resources.get("requests") or {}).items() if not wrong else ():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and quantities.parse(request) > quantities.parse(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield status.invalid_value(f"{where}.requests", request, why)


def quantity_causes(written: Object | None, where: str) -> Iterator[Cause]:
    """Yield the validation errors of quantities by resource name."""
    for name, value in (written or {}).items():
        try:
            quantities.parse(value)
        except ValueError as error:
            yield status.invalid_value(f"{where}[{name}]", value, str(error))
