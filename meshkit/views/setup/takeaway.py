"""What was set up, as files and commands: the card on the last page of the wizard."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from meshkit.operations.setup.stages import STAGES
from meshkit.views.plan_html import card

if TYPE_CHECKING:
    from meshkit.operations.setup.guide import Setup, SetupSnapshot

RUNBOOKS = {
    "control-plane": "install_control_plane",
    "injection": "onboard_namespace",
    "mutual-tls": "enforce_mtls",
    "access": "grant_access",
    "routes": "set_traffic_policy",
}
"""Stage that changes a cluster -> the runbook that does the same in CI."""
CI_FILES = ("runbooks/ci/github-actions.yaml", "runbooks/ci/gitlab-ci.yaml")


def takeaway_card(setup: Setup, look: SetupSnapshot) -> Markup:
    """The commands that write ``mesh.yaml`` and repeat the stages that are done, and the files for CI."""
    where = f"--context {shlex.quote(setup.cluster.context)} --mesh {setup.mesh}"
    written = f"meshkit export --intents -n {shlex.quote(setup.namespace)} {where} > mesh.yaml"
    parts = [
        ("What was done, as a file of intents for Git:", (written, "meshkit plan -f mesh.yaml")),
        ("The same stages as runbooks, dry until --apply:", tuple(runbook_commands(setup, look))),
        ("For CI, one of these files runs them for each merge request:", CI_FILES),
    ]
    body = Markup("").join(
        Markup('<p>{}</p><pre class="mk-log" tabindex="0">{}</pre>').format(words, "\n".join(lines))
        for words, lines in parts
        if lines
    )
    return card("Take it with you", "", body)


def runbook_commands(setup: Setup, look: SetupSnapshot) -> Iterator[str]:
    """A command for each stage that is done, with the parameters that every runbook of it has."""
    for stage, status in zip(STAGES, look.statuses, strict=True):
        if stage.name in RUNBOOKS and status.state == "done":
            given = {"context": setup.cluster.context, "mesh": setup.mesh}
            if stage.name != "control-plane":
                given["namespace"] = setup.namespace
            options = " ".join(f"-p {name}={shlex.quote(value)}" for name, value in given.items())
            yield f"meshkit runbook run {RUNBOOKS[stage.name]} {options}"
