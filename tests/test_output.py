"""Results on disk: whole or not at all, and never in place of somebody else's."""

from pathlib import Path

import pytest

from whence.errors import OutputError
from whence.output import whole_file, whole_folder


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
