"""Every public name, command, runbook and setting is mentioned by a page that a person wrote.

The reference that is made from the code lists them all; this asks for a guide that says what they are for.
"""

from __future__ import annotations

import pytest

from meshkit.runbooks.catalogue import find_runbooks
from tools.docs import catalogues, commands, names, pages


def test_every_public_name_is_in_a_guide() -> None:
    mentioned = {name for page in pages.pages() for name in pages.names_in(page)}
    missing = set(names.public_names()) - mentioned
    assert not missing, f"no page writes these as `mk.NAME`: {sorted(missing)}"


def test_every_command_is_in_a_guide() -> None:
    mentioned = commands.mentioned()
    missing = [
        command.name
        for command in commands.commands()
        if not any(name == command.name or name.startswith(f"{command.name} ") for name in mentioned)
    ]
    assert not missing, f"no page writes these as code: {missing}"


def test_every_runbook_is_in_a_guide() -> None:
    missing = [runbook.name for runbook in find_runbooks() if not pages.mentioning(runbook.name)]
    assert not missing, f"no page writes these as code: {missing}"


def test_every_setting_is_in_a_guide_and_says_what_it_is() -> None:
    found = catalogues.variables()
    assert found
    assert not [name for name, said in found.items() if not said], "settings.py does not say what these are"
    missing = [name for name in found if not pages.mentioning(name)]
    assert not missing, f"no page writes these as code: {missing}"


@pytest.mark.parametrize("name", names.public_names())
def test_the_reference_has_every_public_name(name: str, rendered: str) -> None:
    assert f" mk.{name}" in rendered


@pytest.fixture(scope="module")
def rendered() -> str:
    """The Markdown of the reference of the library."""
    return "\n".join(text for page, text in names.render().items() if page != "index")
