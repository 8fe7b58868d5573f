"""Execution of runbooks with papermill, and their reports.

A run always writes three files: the executed notebook, an HTML report that opens offline, and a JUnit file
with one test case for each cell. The exit code is that of the error that ended the run (errors.py), so that
a runbook and the command line report the same failure with the same code.

The kernel uses Unix sockets, because other users of the machine could reach TCP ports. It is the interpreter
that runs meshkit, regardless of the kernels that the user has registered under the name python3.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from meshkit import errors
from meshkit.cluster.connect import CLUSTER
from meshkit.facts import ClusterRef
from meshkit.kube.redaction import Redaction
from meshkit.operations.plan import OUTCOME, PENDING
from meshkit.runbooks.catalogue import Runbook, load_runbook
from meshkit.runbooks.live_output import LiveOutput
from meshkit.runbooks.parameters import convert_parameters
from meshkit.runbooks.secrets import resolved
from meshkit.views.plain_text import visible, visible_line
from meshkit.views.report import runbook_page

_ENGINE = "meshkit"
"""The name of the engine below in papermill's registry."""
_LAUNCH = [sys.executable, "-m", "ipykernel_launcher"]
_KERNEL_START_S = 300
"""A kernel starts in two seconds; on a machine that does much else papermill's 60 s were too few."""


@dataclass(frozen=True)
class RunbookResult:
    """The result of a run.

    ``exit_code`` is 0, 5 for a dry run with pending changes, or the exit code of the error in ``error``;
    ``cell`` is the number of the failed cell, from 1.
    """

    runbook: Runbook
    parameters: Mapping[str, Any]
    exit_code: int
    error: str | None
    cell: int | None
    duration_s: float
    notebook: Path
    report: Path
    junit: Path
    cluster: ClusterRef | None = None
    """The cluster that the runbook was connected to, from its outputs, or None."""
    outcome: str | None = None
    """How its last operation ended, in a sentence, from its outputs: ``promoted on cluster ...``."""


def run_runbook(
    name: str,
    given: Mapping[str, str] | None = None,
    *,
    out: Path = Path("out"),
    as_name: str | None = None,
    on_line: Callable[[str], None] | None = None,
) -> RunbookResult:
    """Run a runbook with the given parameters and write ``out/NAME.ipynb``, ``.html`` and ``.xml``.

    A string parameter may be a reference to a secret (secrets.py). Raises BadInput before the run for an
    unknown runbook, parameter or secret, or an invalid value. A failing cell raises nothing: the result
    reports it. ``as_name`` replaces the runbook's name in the names of the files. ``on_line``
    is called with each line while the cells run: the headings, and what the cells print.
    """
    runbook = load_runbook(name)
    parameters = convert_parameters(runbook.parameters, given or {})
    notebook = out / f"{as_name or runbook.name}.ipynb"
    began_s = time.monotonic()
    with resolved(parameters) as (handed, redaction):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(runbook.path, notebook)
        live = LiveOutput(on_line, redaction) if on_line else None
        exit_code, error = _execute(runbook.path, notebook, handed, redaction, live)
    executed = _read(notebook)
    meant = {p.name: parameters.get(p.name, p.default) for p in runbook.parameters}
    if exit_code == 0 and meant.get("apply") is False and _steps_pending(executed):
        exit_code = errors.CHANGES_PENDING
    result = RunbookResult(
        runbook=runbook,
        parameters=meant,
        exit_code=exit_code,
        error=error,
        cell=next(
            (n for n, cell in _own_cells(executed) if cell.metadata.get("papermill", {}).get("exception")),
            None,
        ),
        duration_s=time.monotonic() - began_s,
        notebook=notebook,
        report=notebook.with_suffix(".html"),
        junit=notebook.with_suffix(".xml"),
        cluster=_cluster(executed),
        outcome=_outcome(executed),
    )
    _write_reports(result, executed)
    return result


def _steps_pending(executed: Any) -> int:
    """The number of steps to apply in the last plan of an executed runbook."""
    counts = [bundle[PENDING]["steps"] for bundle in _bundles(executed) if PENDING in bundle]
    return int(counts[-1]) if counts else 0


def _cluster(executed: Any) -> ClusterRef | None:
    """The cluster that an executed runbook was connected to last."""
    named = [bundle[CLUSTER] for bundle in _bundles(executed) if CLUSTER in bundle]
    return ClusterRef(named[-1]["context"], named[-1]["server"]) if named else None


def _outcome(executed: Any) -> str | None:
    """How the last operation of an executed runbook ended."""
    told = [bundle[OUTCOME] for bundle in _bundles(executed) if OUTCOME in bundle]
    return str(told[-1]["text"]) if told else None


def _bundles(executed: Any) -> list[Mapping[str, Any]]:
    """The outputs of the runbook's own cells, each by media type."""
    return [out.get("data", {}) for _, cell in _own_cells(executed) for out in cell.outputs]


def _execute(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    redaction: Redaction,
    live: LiveOutput | None,
) -> tuple[int, str | None]:
    """Execute the notebook and return the exit code and the message of the failure, if any."""
    papermill = _papermill()
    papermill.engines.papermill_engines.register(_ENGINE, _redacting_engine())
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        with _kernel_class() as kernel:
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=dict(parameters),
                kernel_manager_class=kernel,
                kernel_name="python3",
                engine_name=_ENGINE,
                redaction=redaction,
                live=live,
                stdout_file=live,
                store_widget_state=False,
                progress_bar=False,
                start_timeout=_KERNEL_START_S,
            )
    except PapermillExecutionError as problem:
        return _failure(problem.ename, redaction.text(problem.evalue))
    except (CellTimeoutError, DeadKernelError, NoSuchKernel) as problem:
        return 1, redaction.text(str(problem)).strip().splitlines()[0]
    return 0, None


def _redacting_engine() -> type:
    """papermill's engine, extended to remove secrets from the notebook before each save."""
    from papermill.engines import NBClientEngine

    class RedactingEngine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(
            cls,
            nb_man: Any,
            kernel_name: str,
            *,
            redaction: Redaction,
            live: LiveOutput | None,
            **options: Any,
        ) -> Any:
            save = nb_man.save
            if live is not None:
                live.follow(nb_man)

            def save_redacted(**where: Any) -> None:
                redaction.notebook(nb_man.nb)
                save(**where)

            nb_man.save = save_redacted
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    return RedactingEngine


def _failure(error_name: str, message: str) -> tuple[int, str]:
    """Exit code and message for an error: those of meshkit's own errors; for others 1 and the class name."""
    known = getattr(errors, error_name, None)
    if isinstance(known, type) and issubclass(known, errors.MeshkitError):
        return known.exit_code, message
    return 1, f"{error_name}: {message}"


def _papermill() -> Any:
    """Import papermill without ``rfc3987_syntax``, which jsonschema loads in 2 s for an unused check."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill

    return papermill


@contextlib.contextmanager
def _kernel_class() -> Iterator[type]:
    """A kernel manager with Unix sockets in a temporary directory and this interpreter as kernel."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:

        class RunbookKernel(AsyncKernelManager):
            transport = "ipc"
            connection_file = f"{folder}/kernel.json"
            kernel_spec = KernelSpec(
                # Errors of cells are messages. What the kernel logs is that its end interrupts it.
                argv=[*_LAUNCH, "-f", "{connection_file}", "--log-level=CRITICAL"],
                display_name="meshkit",
                language="python",
            )

        yield RunbookKernel


def _read(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def _own_cells(notebook: Any) -> Iterator[tuple[int, Any]]:
    """The runbook's code cells, numbered from 1, without the cells that papermill added."""
    added = {"injected-parameters", "papermill-error-cell-tag"}
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return enumerate((cell for cell in code if not added & set(cell.metadata.get("tags", ()))), start=1)


def _write_reports(result: RunbookResult, executed: Any) -> None:
    page = runbook_page(
        executed,
        title=result.runbook.title,
        exit_code=result.exit_code,
        error=result.error,
        parameters=result.parameters,
        duration_s=result.duration_s,
        cluster=result.cluster,
        outcome=result.outcome,
    )
    result.report.write_text(page, encoding="utf-8")
    ElementTree.ElementTree(_junit(result, executed)).write(
        result.junit, encoding="utf-8", xml_declaration=True
    )


def _junit(result: RunbookResult, executed: Any) -> ElementTree.Element:
    """One test case for each code cell; the cells after a failure are skipped."""
    suite = ElementTree.Element("testsuite", name=result.runbook.name, time=f"{result.duration_s:.3f}")
    facts = {"cluster": result.cluster, "outcome": result.outcome}
    properties = ElementTree.SubElement(suite, "properties") if any(facts.values()) else None
    for name, value in facts.items():
        if properties is not None and value:
            ElementTree.SubElement(properties, "property", name=name, value=visible(str(value)))
    counts = {"tests": 0, "failures": 0, "skipped": 0}
    for number, cell in _own_cells(executed):
        timing = cell.metadata.get("papermill", {})
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"meshkit.runbook.{result.runbook.name}",
            name=visible_line(f"cell {number}: {cell.source.strip().splitlines()[0]}"),
            time=f"{timing.get('duration') or 0:.3f}",
        )
        counts["tests"] += 1
        if timing.get("exception"):
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", message=visible(result.error or "failed"))
        elif timing.get("status") != "completed":
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message="not reached")
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    return suite
