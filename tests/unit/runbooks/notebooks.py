"""Small notebooks that tests write and run."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import v4


def write_runbook(folder: Path, *cells: str) -> str:
    parameters = v4.new_code_cell('word: str = "one"  # a word', metadata={"tags": ["parameters"]})
    code = [v4.new_code_cell(source) for source in cells]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Small\n\nA small runbook."), parameters, *code])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "small.ipynb")
    return str(folder / "small.ipynb")
