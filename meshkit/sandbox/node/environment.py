"""What a container of a pod finds in its environment, and where its ports are served. Pure."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from meshkit import settings
from meshkit.kube.quantities import parse
from meshkit.meshes.model.outbound import OUTBOUND_PORT
from meshkit.meshes.model.pods import service_account
from meshkit.sandbox.control_planes.registry import data_plane_of, ports_behind_proxy
from meshkit.sandbox.dataplane.pod_directory import TOKEN_FILE, app_socket, pod_folder
from meshkit.sandbox.node.volumes import mounts

Object = Mapping[str, Any]
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_INHERITED = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE", "TMPDIR")
_LOADER_PREFIXES = ("LD_", "MALLOC_", "MESHKIT_", "OPENSSL_", "PYTHON")
_LOADER_VARIABLES = frozenset(
    {
        *("PATH", "TMPDIR", "ENV", "BASH_ENV", "GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "NLSPATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "NODE_OPTIONS", "NODE_PATH"),
        *(
            "JAVA_TOOL_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "_JAVA_OPTIONS",
            "PERL5LIB",
            "PERL5OPT",
            "RUBYLIB",
            "RUBYOPT",
        ),
    }
)
"""What the dynamic loader, the C library, OpenSSL, an interpreter and the sandbox's own programs go by."""
_NONE: Mapping[str, Object] = MappingProxyType({})
NODE_CAPACITY = {"cpu": "2", "memory": "4Gi", "pods": "110"}
"""What each node of the sandbox says it has."""


@dataclass(frozen=True)
class Surroundings:
    """The sandbox as its pods see it.

    Folder of all pods, address and CA of the API server, file of the services.
    """

    run: Path
    server: str
    ca: Path
    services: Path


def listen_addresses(pod: Object, ip: str, pod_dir: Path) -> dict[int, str]:
    """Where each TCP port of the pod is served: a unix socket behind the sidecar, else the pod's address.

    A port that its sidecar answers must not be reachable past it: a unix socket of mode 0700 is not.
    """
    captured = ports_behind_proxy(pod)
    return {
        int(port["containerPort"]): f"unix:{app_socket(pod_dir, int(port['containerPort']))}"
        if port["containerPort"] in captured
        else f"tcp:{ip}:{port['containerPort']}"
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }


def decides_loading(name: str) -> bool:
    """Whether a variable decides which code a program runs or which files it takes for its own."""
    return name in _LOADER_VARIABLES or name.startswith(_LOADER_PREFIXES)


def sandbox_environment(pod: Object, container: Object, ip: str, around: Surroundings) -> dict[str, str]:
    """What the sandbox itself tells a container; of the daemon's own environment a few harmless names."""
    pod_dir = pod_folder(around.run, pod["metadata"]["uid"])
    env = {name: value for name in _INHERITED if (value := settings.variable(name)) is not None}
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = _absolute(env["PYTHONPATH"])
    env |= {
        "POD_IP": ip,
        "POD_NAME": pod["metadata"]["name"],
        "POD_NAMESPACE": pod["metadata"]["namespace"],
        "POD_UID": pod["metadata"]["uid"],
        "MESHKIT_POD_DIR": str(pod_dir),
        "MESHKIT_RUN_DIR": str(around.run),
        "MESHKIT_API": around.server,
        "MESHKIT_CA": str(around.ca),
        "MESHKIT_TOKEN_FILE": str(pod_dir / TOKEN_FILE),
        "MESHKIT_SERVICES": str(around.services),
        "MESHKIT_IMAGE": container["image"],
        "MESHKIT_MOUNTS": json.dumps(mounts(pod, container, pod_dir)),
        "MESHKIT_LISTEN": json.dumps({str(k): v for k, v in listen_addresses(pod, ip, pod_dir).items()}),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1" if sys.dont_write_bytecode else "",
    }
    if data_plane_of(pod) is not None:
        env["HTTP_PROXY"] = env["http_proxy"] = f"http://{ip}:{OUTBOUND_PORT}"
        env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
    return env


def _absolute(search_path: str) -> str:
    """A search path without what would be looked for in the working directory, which is the pod's folder."""
    return os.pathsep.join(each for each in search_path.split(os.pathsep) if os.path.isabs(each))


def container_environment(
    pod: Object, container: Object, ip: str, around: Surroundings, config_maps: Mapping[str, Object] = _NONE
) -> dict[str, str]:
    """The whole environment of a container: the sandbox's, and over it what the pod's spec gives.

    ``config_maps`` are those that ``config_maps_of`` names, as far as they are there. Raises ValueError for a
    value that is in none of them, or comes from where the sandbox does not look (Secret).
    """
    env = sandbox_environment(pod, container, ip, around)
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            env |= _from_source(entry, container, pod, ip, config_maps)
        else:
            env[entry["name"]] = expanded(str(entry.get("value") or ""), env)
    return env


def process_environment(
    own: Mapping[str, str], env: Mapping[str, str], reads: Collection[str]
) -> dict[str, str]:
    """The environment that an image's process starts with: the sandbox's, and what it reads of the pod's.

    A pod's variable reaches a process by being named in ``Image.reads`` and in no other way, so none of them
    can decide how the process is loaded.
    """
    return {**own, **{name: env[name] for name in reads if name in env}}


def expanded(text: str, env: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced where NAME is known, ``$$`` by ``$``: Kubernetes' own expansion."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match.group() == "$$" else env.get(match.group(1), match.group())

    return _REFERENCE.sub(replace, text)


def config_maps_of(container: Object) -> set[str]:
    """The names of the ConfigMaps that a container takes values of its environment from."""
    sources = [(entry.get("valueFrom") or {}).get("configMapKeyRef") for entry in container.get("env") or ()]
    return {str(source["name"]) for source in sources if source}


def _from_source(
    entry: Object, container: Object, pod: Object, ip: str, config_maps: Mapping[str, Object]
) -> dict[str, str]:
    """The value under its name; nothing where it is optional and not there."""
    name, source = entry["name"], entry["valueFrom"]
    if source.get("fieldRef"):
        return {name: _from_field(name, source["fieldRef"]["fieldPath"], pod, ip)}
    if source.get("resourceFieldRef"):
        return {name: _from_resource(name, source["resourceFieldRef"], container)}
    if source.get("configMapKeyRef"):
        return _from_config_map(name, source["configMapKeyRef"], config_maps)
    known = "only fieldRef, resourceFieldRef and configMapKeyRef"
    raise ValueError(f"env {name}: {', '.join(source)} is not known to the sandbox, {known}")


def _from_config_map(name: str, source: Object, config_maps: Mapping[str, Object]) -> dict[str, str]:
    data = (config_maps.get(source["name"]) or {}).get("data") or {}
    if source["key"] in data:
        return {name: str(data[source["key"]])}
    if source.get("optional"):
        return {}
    raise ValueError(f"env {name}: there is no key {source['key']} in a ConfigMap {source['name']}")


def _from_resource(name: str, source: Object, container: Object) -> str:
    """A request or limit in units of the divisor, rounded up; a limit that is not set is the node's whole."""
    if source.get("containerName") not in (None, "", container["name"]):
        raise ValueError(f"env {name}: resources of another container are not known to the sandbox")
    kind, _, resource = source["resource"].partition(".")
    given = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    if given is None:
        given = "0" if kind == "requests" else NODE_CAPACITY.get(resource)
    if given is None:
        raise ValueError(f"env {name}: resource {resource!r} is not known to the sandbox")
    amount = parse(given)
    divisor = parse(source.get("divisor") or "1")
    return str(math.ceil(amount.amount / (divisor.amount or 1)))


def _from_field(name: str, field: str, pod: Object, ip: str) -> str:
    meta, spec = pod["metadata"], pod["spec"]
    plain = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": service_account(pod),
        "status.podIP": ip,
        "status.podIPs": ip,
        "status.hostIP": HOST_IP,
    }
    if field in plain:
        return str(plain[field])
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", field)
    if match is None:
        raise ValueError(f"env {name}: field {field!r} is not known to the sandbox")
    return str((meta.get(match.group(1)) or {}).get(match.group(2), ""))


HOST_IP = "127.0.0.1"
