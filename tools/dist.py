"""Write what a release consists of into dist/: wheel, sdist, an SBOM in CycloneDX, and the hashes of all.

Run by ``make dist``. The same sources and packages give the same SBOM, so that two builds can be compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
EXTRAS = ("sandbox", "lab")
"""The extras that users install. Those for tests and documentation are not part of a release."""


def reached(extras: Sequence[str]) -> dict[str, str]:
    """Name -> version of each distribution that meshkit and these extras need, followed to the end."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [("meshkit", extra) for extra in ("", *extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()] = dist.version
        for line in dist.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(requirement.name, e) for e in ("", *requirement.extras)]
    found.pop("meshkit", None)
    return found


def sbom(version: str) -> dict[str, Any]:
    """The bill of materials: meshkit and every package that it and its extras need, as pinned here."""
    own = _component("meshkit", version, "application")
    parts = [_component(name, pinned, "library") for name, pinned in sorted(reached(EXTRAS).items())]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": parts,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _component(name: str, version: str, kind: str) -> dict[str, Any]:
    address = f"pkg:pypi/{name}@{version}"
    found: dict[str, Any] = {
        "type": kind,
        "bom-ref": address,
        "name": name,
        "version": version,
        "purl": address,
    }
    licence = metadata.metadata(name).get("License-Expression")
    return {**found, "licenses": [{"expression": licence}]} if licence else found


def main() -> None:
    """Build everything into an empty dist/."""
    target = ROOT / "dist"
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(ROOT)], check=True
    )
    version = metadata.version("meshkit")
    (target / f"meshkit-{version}.cdx.json").write_text(json.dumps(sbom(version), indent=2) + "\n")
    files = sorted(target.iterdir())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (target / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main()
