"""Write the files ``crds.json.gz`` of Istio and Gateway API from the Go modules of the meshes.

    go mod download istio.io/api@v1.31.4 sigs.k8s.io/gateway-api@v1.6.1
    python -m meshkit.meshes.generate

Descriptions, which are four fifths of a CustomResourceDefinition, are dropped; everything else, including the
validation rules, is unchanged. NOTICE lists sources and licences.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).parent
ISTIO = "istio.io/api@v1.31.4"
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.1"
ISTIO_GROUPS = ("networking.istio.io", "security.istio.io", "telemetry.istio.io")
GATEWAY_API_FILES = ("gateway.networking.k8s.io_httproutes.yaml", "gateway.networking.k8s.io_grpcroutes.yaml")
GATEWAY_FILES = ("gateway.networking.k8s.io_gateways.yaml",)
"""The definitions that meshkit knows and does not install."""


def main() -> None:
    """Read both modules from the Go module cache and write one file for each."""
    istio = _documents(_module(ISTIO) / "kubernetes" / "customresourcedefinitions.gen.yaml")
    _write("istio", [crd for crd in istio if crd["spec"]["group"] in ISTIO_GROUPS])
    standard = _module(GATEWAY_API) / "config" / "crd" / "standard"
    _write("gateway_api", [crd for name in GATEWAY_API_FILES for crd in _documents(standard / name)])
    _write("gateway_api/gateways", [crd for name in GATEWAY_FILES for crd in _documents(standard / name)])


def _module(module: str) -> Path:
    answer = subprocess.run(
        ["go", "mod", "download", "-json", module], check=True, capture_output=True, text=True, cwd="/"
    )
    return Path(json.loads(answer.stdout)["Dir"])


def _documents(path: Path) -> list[dict[str, Any]]:
    return [doc for doc in yaml.safe_load_all(path.read_text(encoding="utf-8")) if doc]


def _write(name: str, crds: list[dict[str, Any]]) -> None:
    for crd in crds:
        crd.pop("status", None)
        crd["metadata"].pop("creationTimestamp", None)
        for version in crd["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"] = _without_prose(version["schema"]["openAPIV3Schema"])
    text = json.dumps(sorted(crds, key=lambda crd: crd["metadata"]["name"]), separators=(",", ":"))
    (TARGET / name / "crds.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _without_prose(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its descriptions; a *property* named description is kept."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "description":
            continue
        if key == "properties":
            kept[key] = {name: _without_prose(inner) for name, inner in value.items()}
        elif isinstance(value, dict):
            kept[key] = _without_prose(value)
        elif isinstance(value, list):
            kept[key] = [_without_prose(item) if isinstance(item, dict) else item for item in value]
        else:
            kept[key] = value
    return kept


if __name__ == "__main__":
    main()
