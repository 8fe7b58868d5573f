"""The runbooks and notebooks that are shipped with meshkit.

They are in the top folder of the project, where readers expect them, and not in the Python package. In a
checkout they are found next to the package; a wheel contains them as data files, which are installed to
``share/meshkit/`` of the environment.
"""

from __future__ import annotations

import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from meshkit.errors import BadInput, UnknownName
from meshkit.runbooks.parameters import Parameter, parameters_of


@dataclass(frozen=True)
class Runbook:
    """A papermill notebook: its file name, heading, first sentence and parameters."""

    name: str
    path: Path
    title: str
    summary: str
    parameters: tuple[Parameter, ...]


def shipped_folder(name: str) -> Path:
    """The folder ``runbooks`` or ``notebooks`` that is shipped with meshkit."""
    checkout = Path(__file__).parents[2] / name
    if any(checkout.glob("*.ipynb")):
        return checkout
    return Path(sysconfig.get_path("data")) / "share" / "meshkit" / name


def find_runbooks() -> tuple[Runbook, ...]:
    """Return all shipped runbooks, sorted by name."""
    return tuple(read_runbook(path) for path in sorted(shipped_folder("runbooks").glob("*.ipynb")))


def load_runbook(name: str) -> Runbook:
    """Read a shipped runbook by its name, or any notebook by its path (``./mine.ipynb``)."""
    if name.endswith(".ipynb") and Path(name).is_file():
        return read_runbook(Path(name))
    path = shipped_folder("runbooks") / f"{name}.ipynb"
    known = {each.stem for each in path.parent.glob("*.ipynb")}
    if name not in known:
        raise UnknownName("runbook", name, known)
    return read_runbook(path)


def read_runbook(path: Path) -> Runbook:
    """Read a runbook from a file, without papermill and without a kernel."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError) as problem:
        raise BadInput(
            str(path), "this is not a notebook.", remedy="Give the path of an .ipynb file."
        ) from problem
    prose = next(("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), "")
    heading, _, rest = prose.partition("\n")
    return Runbook(
        name=path.stem,
        path=path,
        title=heading.lstrip("# ").strip() or path.stem,
        summary=" ".join(rest.strip().split("\n\n")[0].split()),
        parameters=parameters_of(cells),
    )
