"""Each file of tests/findings/linkerd, added to its shop, gives the findings that its head names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.checks.meshes import HEALTHY, Objects, found, node

FOLDER = Path(__file__).parents[2] / "findings" / "linkerd"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "base")
OF_THE_MESH = [
    one
    for one in HEALTHY["linkerd"]
    if one["metadata"].get("namespace", "shop") == "linkerd" or "webhooks" in one
]


def world(*paths: Path) -> Objects:
    """The control plane and the objects of these files; a later object takes the place of an earlier one."""
    objects: dict[tuple[str, str, str], dict[str, object]] = {}
    for path in paths:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            meta = document["metadata"]
            objects[document["kind"], meta.get("namespace", ""), meta["name"]] = document
    definitions = [one for one in HEALTHY["linkerd"] if one["kind"] == "CustomResourceDefinition"]
    return [*OF_THE_MESH, *definitions, *(node(each) for each in "abc"), *objects.values()]


def expected(path: Path) -> list[str]:
    (line,) = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# Expected: ")
    ]
    words = line.removeprefix("# Expected: ").split()
    return (
        [] if words == ["nothing"] else [" ".join(pair) for pair in zip(words[::2], words[1::2], strict=True)]
    )


def test_the_shop_has_no_findings() -> None:
    assert found("linkerd", world(FOLDER / "base.yaml")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_gives_the_findings_that_its_head_names(path: Path) -> None:
    assert found("linkerd", world(FOLDER / "base.yaml", path)) == expected(path)
