"""Pure functions that compute a container's environment variables and listen addresses."""

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
from meshkit.sandbox.dataplane.pod_directory import (
    TOKEN_FILE,
    app_socket,
    control_socket,
    pod_folder,
)
from meshkit.sandbox.node.volumes import mounts

Object = Mapping[str, Any]
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_INHERITED = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
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
"""Variables that the dynamic loader, the C library, OpenSSL, interpreters and the sandbox's programs read."""
_NONE: Mapping[str, Object] = MappingProxyType({})
NODE_CAPACITY = {"cpu": "2", "memory": "4Gi", "pods": "110"}
"""The capacity that each node of the sandbox reports."""


@dataclass(frozen=True)
class NodeConfig:
    """The paths and addresses of the sandbox that its pods need.

    ``run`` is the folder of all pods, ``server`` and ``ca`` belong to the API server, and ``services`` is the
    file of Service endpoints.
    """

    run: Path
    server: str
    ca: Path
    services: Path


def listen_addresses(pod: Object, ip: str, pod_dir: Path) -> dict[int, str]:
    """Map each TCP port of the pod to its listen address.

    A port behind a sidecar listens on a Unix socket of mode 0700, so that callers cannot bypass the sidecar;
    other ports listen on the pod's IP address.
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


def _undeclared_address(pod: Object, ip: str, pod_dir: Path) -> str:
    """Return the listen address of a port that no container declares, with ``{port}`` for the number.

    Behind a sidecar it is a socket to which nothing leads, because the sidecar knows the declared ports only.
    """
    return f"tcp:{ip}:{{port}}" if data_plane_of(pod) is None else f"unix:{pod_dir / 'app-{port}.sock'}"


def affects_loading(name: str) -> bool:
    """Return whether a variable affects which code or files a program loads."""
    return name in _LOADER_VARIABLES or name.startswith(_LOADER_PREFIXES)


def sandbox_environment(pod: Object, container: Object, ip: str, config: NodeConfig) -> dict[str, str]:
    """Return the variables that the sandbox sets, plus a few harmless ones of the daemon's environment."""
    pod_dir = pod_folder(config.run, pod["metadata"]["uid"])
    env = {name: value for name in _INHERITED if (value := settings.variable(name)) is not None}
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = _absolute(env["PYTHONPATH"])
    env |= {
        "POD_IP": ip,
        "POD_NAME": pod["metadata"]["name"],
        "POD_NAMESPACE": pod["metadata"]["namespace"],
        "POD_UID": pod["metadata"]["uid"],
        "MESHKIT_POD_DIR": str(pod_dir),
        "MESHKIT_RUN_DIR": str(config.run),
        "MESHKIT_API": config.server,
        "MESHKIT_CA": str(config.ca),
        "MESHKIT_TOKEN_FILE": str(pod_dir / TOKEN_FILE),
        "MESHKIT_SERVICES": str(config.services),
        "MESHKIT_IMAGE": container["image"],
        "MESHKIT_MOUNTS": json.dumps(mounts(pod, container, pod_dir)),
        "MESHKIT_LISTEN": json.dumps({str(k): v for k, v in listen_addresses(pod, ip, pod_dir).items()}),
        "MESHKIT_LISTEN_UNDECLARED": _undeclared_address(pod, ip, pod_dir),
        "MESHKIT_CONTROL": f"unix:{control_socket(pod_dir, '{port}')}",
        "PYTHONUNBUFFERED": "1",
        "SSL_CERT_FILE": str(config.ca),  # aiohttp reads all of the system's twice, in 0.2 s, when imported.
        "PYTHONDONTWRITEBYTECODE": "1" if sys.dont_write_bytecode else "",
    }
    if data_plane_of(pod) is not None:
        env["HTTP_PROXY"] = env["http_proxy"] = f"http://{ip}:{OUTBOUND_PORT}"
        env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
    return env


def _absolute(search_path: str) -> str:
    """Remove relative entries, which would refer to the working directory: the pod's folder."""
    return os.pathsep.join(entry for entry in search_path.split(os.pathsep) if os.path.isabs(entry))


def container_environment(
    pod: Object, container: Object, ip: str, config: NodeConfig, config_maps: Mapping[str, Object] = _NONE
) -> dict[str, str]:
    """Return the environment of a container: the sandbox's variables, overridden by the pod's spec.

    ``config_maps`` holds the existing ones that ``config_maps_of`` names. Raises ValueError for a value that
    none of them contains, or that comes from an unsupported source (such as a Secret).
    """
    env = sandbox_environment(pod, container, ip, config)
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            env |= _from_source(entry, container, pod, ip, config_maps)
        else:
            env[entry["name"]] = expanded(str(entry.get("value") or ""), env)
    return env


def process_environment(
    own: Mapping[str, str], env: Mapping[str, str], reads: Collection[str]
) -> dict[str, str]:
    """Return the sandbox's variables and those of the pod's variables that the image reads.

    A pod's variable reaches a process only if ``Image.reads`` names it, so no variable of a pod affects how
    the process is loaded.
    """
    return {**own, **{name: env[name] for name in reads if name in env}}


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Expand ``$(NAME)`` for known names and ``$$`` to ``$``, as Kubernetes does."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match.group() == "$$" else env.get(match.group(1), match.group())

    return _REFERENCE.sub(replace, text)


def config_maps_of(container: Object) -> set[str]:
    """Return the names of the ConfigMaps that a container's environment refers to."""
    sources = [(entry.get("valueFrom") or {}).get("configMapKeyRef") for entry in container.get("env") or ()]
    return {str(source["name"]) for source in sources if source}


def _from_source(
    entry: Object, container: Object, pod: Object, ip: str, config_maps: Mapping[str, Object]
) -> dict[str, str]:
    """Resolve ``valueFrom`` to a variable, or to nothing if the value is optional and does not exist."""
    name, source = entry["name"], entry["valueFrom"]
    if source.get("fieldRef"):
        return {name: _from_field(name, source["fieldRef"]["fieldPath"], pod, ip)}
    if source.get("resourceFieldRef"):
        return {name: _from_resource(name, source["resourceFieldRef"], container)}
    if source.get("configMapKeyRef"):
        return _from_config_map(name, source["configMapKeyRef"], config_maps)
    supported = "fieldRef, resourceFieldRef and configMapKeyRef"
    raise ValueError(f"env {name}: the sandbox does not support {', '.join(source)}; it supports {supported}")


def _from_config_map(name: str, source: Object, config_maps: Mapping[str, Object]) -> dict[str, str]:
    data = (config_maps.get(source["name"]) or {}).get("data") or {}
    if source["key"] in data:
        return {name: str(data[source["key"]])}
    if source.get("optional"):
        return {}
    raise ValueError(f"env {name}: ConfigMap {source['name']} does not exist or has no key {source['key']}")


def _from_resource(name: str, source: Object, container: Object) -> str:
    """Return a request or limit in units of the divisor; an unset limit is the node's capacity."""
    if source.get("containerName") not in (None, "", container["name"]):
        raise ValueError(f"env {name}: the sandbox does not support resources of another container")
    kind, _, resource = source["resource"].partition(".")
    given = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    if given is None:
        given = "0" if kind == "requests" else NODE_CAPACITY.get(resource)
    if given is None:
        raise ValueError(f"env {name}: the sandbox does not support the resource {resource!r}")
    amount = parse(given)
    divisor = parse(source.get("divisor") or "1")
    return str(math.ceil(amount.amount / (divisor.amount or 1)))


def _from_field(name: str, field: str, pod: Object, ip: str) -> str:
    meta, spec = pod["metadata"], pod["spec"]
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": service_account(pod),
        "status.podIP": ip,
        "status.podIPs": ip,
        "status.hostIP": HOST_IP,
    }
    if field in values:
        return str(values[field])
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", field)
    if match is None:
        raise ValueError(f"env {name}: the sandbox does not support the field {field!r}")
    return str((meta.get(match.group(1)) or {}).get(match.group(2), ""))


HOST_IP = "127.0.0.1"
