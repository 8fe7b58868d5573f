"""The site loads nothing from another host, and its reference says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import meshkit as mk
from tools.docs import annotations, catalogues, commands, names, pages
from tools.docs.__main__ import remote_loads
from tools.docs.markdown import prose, table


@pytest.mark.parametrize(
    "remote",
    [
        "<script src='https://cdn.example/x.js'></script>",
        '<img alt="" src="//cdn.example/x.png">',
        '<link rel="stylesheet" href="https://cdn.example/x.css">',
    ],
)
def test_a_page_that_loads_from_another_host_is_found(tmp_path: Path, remote: str) -> None:
    (tmp_path / "index.html").write_text(f"<head>{remote}</head>")
    assert remote_loads(tmp_path)


def test_a_style_that_loads_from_another_host_is_found(tmp_path: Path) -> None:
    (tmp_path / "site.css").write_text("@font-face { src: url('https://cdn.example/x.woff2') }")
    assert remote_loads(tmp_path)


def test_a_link_to_follow_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="https://istio.io">Istio</a><script src="_static/x.js">')
    assert not remote_loads(tmp_path)


def test_a_model_is_shown_with_types_limits_defaults_and_descriptions() -> None:
    page = names.render()["intent"]
    port = mk.Route.model_fields["port"]
    assert f"| `port` | `int`: at least 1, at most 65535 | required | {port.description} |" in page
    assert "| `timeout_s` | `float \\| None`: more than 0, at most 31536000 | `None` |" in page


def test_a_function_is_shown_as_its_source_writes_it() -> None:
    def call(path: Path | None = None, *, name: str = "x") -> list[str]: ...

    assert annotations.signature(call) == "(path: Path | None = None, *, name: str = 'x') -> list[str]"


def test_what_functions_give_back_is_shown() -> None:
    assert "Change" in {each.__name__ for each in names.results()}
    assert "`````{py:class} Change" in names.render()["results"]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    """The pages of the commands."""
    return commands.render()


@pytest.mark.parametrize("command", commands.commands(), ids=lambda command: command.name)
def test_every_command_has_a_section_with_its_options(
    command: commands.Command, rendered: dict[str, str]
) -> None:
    page = rendered[command.name.split()[1]]
    assert f"# {command.name}\n" in page
    for option in command.click.params:
        assert all(spelt in page for spelt in option.opts if spelt.startswith("-"))


def test_every_parameter_of_a_runbook_is_shown() -> None:
    page = catalogues.runbooks_page()
    for runbook in catalogues.find_runbooks():
        assert f"## {runbook.name}\n" in page
        assert all(f"| `{parameter.name}` | `{parameter.type}` |" in page for parameter in runbook.parameters)


def test_plain_text_is_not_taken_for_markup() -> None:
    assert prose("version=<name>, a*b and `x*y`") == "version=&lt;name>, a\\*b and `x*y`"
    assert table(("a", "b"), [("x | y", "z")]).splitlines()[-1] == "| x \\| y | z |"


def test_the_reason_above_a_block_is_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: it asks a person -->\n```console\nmeshkit lab  # opens\n```\n\n```text\nx\n```\n"
    )
    first, second = pages.blocks(page)
    assert (first.not_run, first.commands()) == ("it asks a person", ["meshkit lab"])
    assert second.not_run == ""
