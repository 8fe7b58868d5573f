"""Names are turned into paths below a folder, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.sandbox.dataplane.pod_directory import OutsideFolder, pod_folder, safe_join


@pytest.mark.parametrize("name", ["a", "a/b", "..a", "a..", "not-there-yet/c", "inside/b"])
def test_a_name_below_the_folder_is_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "inside").symlink_to(tmp_path / "a")
    assert safe_join(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../../b",
        "a/..",
        "/etc/passwd",
        "//a",
        "a\0b",
        "link",
        "link/b",
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(OutsideFolder, match="leads out of the folder"):
        safe_join(folder, name)


def test_the_folder_of_a_pod_has_a_single_name(tmp_path: Path) -> None:
    assert pod_folder(tmp_path, "u-1") == tmp_path / "u-1"
    for uid in ("u-1/volumes", "..", ""):
        with pytest.raises(OutsideFolder):
            pod_folder(tmp_path, uid)
