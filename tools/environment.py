"""Print environment.yml from pyproject.toml: ``python tools/environment.py > environment.yml``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
lines = [
    *project["dependencies"],
    *(line for extra in project["optional-dependencies"].values() for line in extra),
]
sys.stdout.write(
    "name: meshkit\nchannels: [conda-forge]\ndependencies:\n  - python>=3.11,<3.14\n  - pip\n  - pip:\n"
)
for line in [*sorted(lines), "-e ."]:
    sys.stdout.write(f'      - "{line}"\n')
