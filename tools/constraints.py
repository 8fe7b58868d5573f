"""Write constraints.txt, the exact versions and hashes that `make setup` installs: ``make constraints``.

The file holds for every Python and platform that meshkit supports, with the hashes of all files of a version.
Versions that it has already are kept as long as the ranges in pyproject.toml allow them; ``--upgrade`` takes
the newest.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST_PYTHON = "3.11"


def main() -> None:
    """Lock the dependencies, those of all extras, and the build backend that setup uses without isolation."""
    built_with = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "-", "pyproject.toml", "--all-extras"),
        *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-annotate"),
        *("--custom-compile-command", "make constraints", "--output-file", "constraints.txt", *sys.argv[1:]),
    ]
    sys.exit(
        subprocess.run(command, cwd=ROOT, input="\n".join(built_with), text=True, check=False).returncode
    )


if __name__ == "__main__":
    main()
