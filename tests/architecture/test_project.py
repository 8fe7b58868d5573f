"""Facts that are written in two files are equal, and no file contains a path of one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def requirements() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    return [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~ \[;]", requirement, maxsplit=1)[0].lower()


def test_environment_yml_is_in_step_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(pip) == sorted([*requirements(), "-e ."])


def test_every_requirement_is_pinned_in_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.split("==", line)[0] for line in lines if "==" in line}
    missing = {re.sub(r"[-_.]+", "-", name_of(r)) for r in requirements()} - pinned
    assert not missing, "run `make constraints`"


def test_setup_installs_only_what_has_a_hash() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if "==" in line]
    assert [lines[number] for number in pins if "--hash=sha256:" not in lines[number + 1]] == []
    others = [
        line for line in lines if not re.match(r"[a-z0-9].*==.* \\$|    --hash=sha256:[0-9a-f]{64}|#", line)
    ]
    assert others == []
    backend = PYPROJECT["build-system"]["requires"]
    assert {name_of(line) for line in backend} <= {lines[number].split("==")[0] for number in pins}
    installs = re.findall(r"^install (.+)$", (ROOT / "tools" / "setup").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in installs] == ["--require-hashes", "--no-deps"]


def test_actions_of_templates_are_named_by_digest() -> None:
    used = [
        line.strip()
        for path in (ROOT / "runbooks" / "ci").iterdir()
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    pinned = re.compile(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in used if not pinned.fullmatch(line)] == []


def test_changelog_names_the_version() -> None:
    from meshkit import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_carries_a_path_or_a_registry_of_one_machine() -> None:
    words = [
        "/" + "root/",
        "/" + "home/",
        "/" + "work/",
        "pypi" + ".org",
        "proxy.golang" + ".org",
        "registry.npmjs" + ".org",
    ]
    for path in tracked():
        if path.suffix in {".png", ".gz"}:
            continue
        text = path.read_text(errors="replace")
        for word in words:
            assert word not in text, f"{path.relative_to(ROOT)} holds {word}"


def test_every_make_verb_of_contributing_exists() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert named
    assert named <= verbs
    assert {"demo", "test", "conformance", "soak", "check", "bench", "lab"} <= verbs


def test_no_test_module_is_imported_for_its_helpers() -> None:
    """Helpers that several tests share are in a conftest or a helper module, not in a ``test_*`` file."""
    importers = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "tests").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.match(r"\s*(from|import) (tests\.[\w.]*\.)?test_\w+", line)
    ]
    assert not importers


def test_what_tells_to_install_meshkit_names_the_version() -> None:
    """Without a version, a line that was copied installs whatever has the name ``meshkit`` on an index."""
    from meshkit import __version__

    named = re.compile(r"pip install [^\n]*'meshkit(?:\[[\w{}]+\])?(?P<version>[^']*)'")
    for path in tracked():
        if path.suffix in (".py", ".md", ".yaml", ".yml", ".ipynb", ".toml") and path != Path(__file__):
            for found in named.finditer(path.read_text(encoding="utf-8", errors="replace")):
                assert found["version"] in (f"=={__version__}", "=={__version__}"), f"{path}: {found[0]}"


def test_the_bill_of_materials_names_each_package_that_is_installed() -> None:
    from tools.dist import sbom

    made = sbom("1.2.3")
    named = {part["name"]: part for part in made["components"]}
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sandbox"]]
    assert {re.sub(r"[-_.]+", "-", name_of(line)) for line in needed} <= named.keys()
    assert "pytest" not in named
    assert named["click"]["purl"] == f"pkg:pypi/click@{named['click']['version']}"
    assert made["metadata"]["component"]["version"] == "1.2.3"
    assert made == sbom("1.2.3")
