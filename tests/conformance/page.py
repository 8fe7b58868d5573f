"""docs/ideas/conformance.md, written by a run: what was proven, case by case, against which version.

``make conformance`` writes it when every test of the suite was asked for and none failed; a run of a few
tests leaves it alone.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.conformance.parts import parts, required

PAGE = Path(__file__).parents[2] / "docs" / "ideas" / "conformance.md"
HEAD = """# What is proven on real parts

Written by `make conformance`; do not edit. Each line is a test that ran against programs built from their own
source (`tests/conformance/parts.toml`), on one machine, without containers. A skipped case says why.

{versions}

## Not proven here
- **No kubelet.** kwok says of every node that it is ready and of every pod that it runs: no container starts,
  no probe is asked, no log is written. What needs running pods is proven on the sandbox only.
- **No Linkerd.** Its Go module is not served by the module proxy, so neither `linkerd check` nor its proxies
  were run, and its charts only by whoever names them in `$MESHKIT_LINKERD_CHARTS`. Of its objects the API
  server judged what the definitions in `meshkit/meshes` say; Gateway API's are the published ones.
- **No interception**: pilot-agents run where a Sidecar says, as on virtual machines; no iptables, no init
  container.
- **No kube-proxy, no CNI, no load balancer of a cloud, no etcd of more than one member.**
"""


class Page:
    """A pytest plugin that keeps what each test did and writes it at the end."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            said = "proven" if report.passed else reason.removeprefix("Skipped: ")
            self._said[report.nodeid] = said

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and self._said:
            PAGE.write_text(written(self._said), encoding="utf-8")


def written(said: dict[str, str]) -> str:
    """The page for what each test, by its node id, did."""
    files: dict[str, list[str]] = defaultdict(list)
    for node, result in said.items():
        file, name = row_of(node)
        files[file].append(f"| {name} | {result} |")
    versions = "\n".join(f"- {each.name} {shown_version(each.name)}" for each in parts().values())
    tables = [
        f"## `{file}`\n\n| case | result |\n| --- | --- |\n" + "\n".join(sorted(rows))
        for file, rows in sorted(files.items())
    ]
    return HEAD.format(versions=versions) + "\n" + "\n\n".join(tables) + "\n"


def row_of(node: str) -> tuple[str, str]:
    """The file of a test, and what the page calls it."""
    file, _, case = node.partition("::")
    return file, case.replace("_", " ").removeprefix("test ").replace("|", "/")


def rows() -> set[tuple[str, str]]:
    """Every test that the page names, as ``row_of`` gives it."""
    found, file = set(), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## `"):
            file = line.strip("#` ")
        elif file and line.startswith("| ") and not line.startswith(("| case |", "| --- |")):
            found.add((file, line.removeprefix("| ").partition(" | ")[0]))
    return found


def shown_version(name: str) -> str:
    """A part's version; of Istio, which has no versioned modules, with the commit too."""
    part = parts()[name]
    if part.module == "istio.io/istio":
        return f"{part.version} (commit {required(part.module).rpartition('-')[2]})"
    return part.version
