"""A disk that is not connected, a folder that moved: an index forgets what was deleted, and nothing else."""

import os
from pathlib import Path

import pytest

from search_media import write_image
from soundspot.cli.main import main
from soundspot.errors import DataError
from soundspot.inference.localizer import Localizer
from soundspot.search import Index
from soundspot.search.scan import is_deleted


def test_a_folder_that_is_gone_is_refused_and_nothing_is_forgotten(index: Index, media: Path) -> None:
    media.rename(media.parent / "away")
    with pytest.raises(DataError, match=r"media: found no such folder, expected that of the 11 files .* --relocate"):
        index.refresh(add_new=True)
    media.mkdir()  # where a disk is to be mounted
    (media / "README").touch()
    for new in (False, True):
        with pytest.raises(DataError, match=r"found nothing to index, expected some of the 11 files .*search remove"):
            index.refresh(add_new=new)
    assert len(index) == 11
    assert index.remove(media) == 11  # as the message says
    assert str(index.refresh(add_new=True)) == "nothing to do, passed over 1 file: 1 without a suffix"


def test_a_folder_that_moved_is_said_to_have_moved(
    index: Index, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["search", "index", "--index", str(index.folder)]
    away, other = media.parent / "away", media.parent / "other"
    media.rename(away)
    other.mkdir()
    write_image(other / "other.png", 7)
    for folder, words, told in (
        (other, [], "media, which is gone, expected one of"),
        (media, [], "media: found no such folder, expected that of the 11 files"),
        (media.parent / "typo", ["--relocate"], "typo: found no such folder"),
        (other, ["--relocate"], "other: found none of the 11 files of this index"),
    ):
        assert main([*asked, str(folder), *words]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
        assert (len(index), Index.open(index.folder).root) == (11, media)
    assert main([*asked, str(away), "--relocate"]) == 0
    assert "11 unchanged;" in capsys.readouterr().out
    assert main([*asked, str(away)]) == 0


def test_what_may_not_be_looked_at_is_not_gone(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_deleted(media / "nowhere.png")
    assert is_deleted(media / "p0.png" / "below.png")
    assert not is_deleted(media / "p0.png")

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refused)
    assert not is_deleted(media / "nowhere.png")


def test_a_file_that_became_a_folder_is_gone_and_what_lies_in_it_is_new(index: Index, media: Path) -> None:
    (media / "p0.png").unlink()
    (media / "p0.png").mkdir()
    write_image(media / "p0.png" / "below.png", 77)
    assert str(index.refresh()) == "10 unchanged, 1 removed"
    assert str(index.refresh(add_new=True)) == "1 added, 10 unchanged"


def test_what_is_kept_out_is_written_down_once(index: Index, media: Path, localizer: Localizer) -> None:
    for n in range(3):
        (media / f"out{n}.png").symlink_to(write_image(media.parent / f"outside{n}.png", n))
    with Index.open(index.folder, localizer) as other:
        before = other._store.version
        assert str(index.refresh(add_new=True)) == "11 unchanged, 3 failed (3 outside)"
        after = other._store.version
        assert before != after
        assert str(index.refresh(add_new=True)) == "11 unchanged, 3 failed (3 outside)"
        assert other._store.version == after
