"""Results on disk: whole or not at all, and never in place of somebody else's."""

import errno
from pathlib import Path

import pytest

from soundspot.errors import OutputError
from soundspot.utils.atomic_io import DiskFullError, atomic_write, atomic_write_folder


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_write(path) as draft:
        draft.write_text(None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    with atomic_write(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_keeps_a_file_from_being_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"), atomic_write(tmp_path / "gone/a.txt"):
        pass
    with pytest.raises(OutputError, match="no encoder"), atomic_write(tmp_path / "a.txt"):
        raise OSError("no encoder")
    with pytest.raises(DiskFullError, match=r"a\.txt"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_if_it_is_of_the_same_kind(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, name in ((mine, "report.json"), (other, "thesis.tex")):
        folder.mkdir()
        (folder / name).write_text("old")
    with atomic_write_folder(mine, overwrite=True, marker_file="report.json") as draft:
        (draft / "report.json").write_text("new")
    assert (mine / "report.json").read_text() == "new"
    with pytest.raises(OutputError, match="holds something else"), atomic_write_folder(other, True, "report.json"):
        pass
    assert (other / "thesis.tex").read_text() == "old"
    with pytest.raises(OutputError, match="--overwrite"), atomic_write_folder(mine, marker_file="report.json"):
        pass
