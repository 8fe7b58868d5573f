"""The wizard's last page has the commands that repeat what was done, and they are taken as they are."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from meshkit.operations.setup.stages import STAGES
from meshkit.runbooks.catalogue import load_runbook, shipped_folder
from meshkit.runbooks.parameters import convert_parameters
from meshkit.views.setup.takeaway import CI_FILES, RUNBOOKS, runbook_commands, takeaway_card
from meshkit.views.setup.wizard import SetupWizard
from tests.unit.views_wizard.fake_setup import BARE, PLAINTEXT, FakeSetup
from tools.docs.commands import problem


def test_every_stage_that_changes_a_cluster_has_a_runbook() -> None:
    assert set(RUNBOOKS) == {stage.name for stage in STAGES if stage.intent is not None}


def test_only_stages_that_are_done_are_repeated() -> None:
    setup = FakeSetup(PLAINTEXT)
    look = setup.look()
    done = {name for name in RUNBOOKS if look.of(name).state == "done"}
    assert "injection" in done
    commands = list(runbook_commands(setup, look))
    assert {command.split()[3] for command in commands} == {RUNBOOKS[name] for name in done}
    bare = FakeSetup(BARE)
    assert not any("onboard_namespace" in each for each in runbook_commands(bare, bare.look()))


def test_the_commands_are_taken_by_the_command_line_and_the_runbooks() -> None:
    setup = FakeSetup(PLAINTEXT)
    page = str(takeaway_card(setup, setup.look()))
    lines = html.unescape("\n".join(re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL))).splitlines()
    commands = [line.partition(" >")[0] for line in lines if line.startswith("meshkit ")]
    assert len(commands) > 2
    for command in commands:
        assert problem(command) == ""
        if " runbook run " in command:
            words = shlex.split(command)
            given = dict(word.split("=", 1) for word in words if "=" in word)
            convert_parameters(load_runbook(words[3]).parameters, given)


@pytest.mark.parametrize("name", CI_FILES)
def test_the_files_for_ci_are_shipped(name: str) -> None:
    assert (shipped_folder("runbooks").parent / name).is_file()


def test_the_last_page_shows_it() -> None:
    wizard = SetupWizard(FakeSetup(PLAINTEXT))
    wizard._choose(len(STAGES) - 1)
    assert "Take it with you" in wizard._shown_plan.value
    wizard._choose(0)
    assert "Take it with you" not in wizard._shown_plan.value
