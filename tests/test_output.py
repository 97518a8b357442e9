"""Results on disk: whole or not at all, and never in place of somebody else's."""

import errno
from pathlib import Path

import pytest

from whence.errors import OutputError
from whence.output import FullError, whole_file, whole_folder


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(TypeError), whole_file(path) as draft:
        draft.write_text(None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    with whole_file(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_keeps_a_file_from_being_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"), whole_file(tmp_path / "gone/a.txt"):
        pass
    with pytest.raises(OutputError, match="no encoder"), whole_file(tmp_path / "a.txt"):
        raise OSError("no encoder")
    with pytest.raises(FullError, match=r"a\.txt"), whole_file(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_if_it_is_of_the_same_kind(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, name in ((mine, "report.json"), (other, "thesis.tex")):
        folder.mkdir()
        (folder / name).write_text("old")
    with whole_folder(mine, overwrite=True, holds="report.json") as draft:
        (draft / "report.json").write_text("new")
    assert (mine / "report.json").read_text() == "new"
    with pytest.raises(OutputError, match="holds something else"), whole_folder(other, True, "report.json"):
        pass
    assert (other / "thesis.tex").read_text() == "old"
    with pytest.raises(OutputError, match="--overwrite"), whole_folder(mine, holds="report.json"):
        pass
