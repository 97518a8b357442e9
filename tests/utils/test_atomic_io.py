"""Results on disk: whole or not at all, and never in place of somebody else's."""

import errno
import json
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from schemas import check_output
from soundspot.errors import OutputError
from soundspot.utils.atomic_io import (
    DiskFullError,
    _list_drafts,
    atomic_write,
    atomic_write_folder,
    convert_full_disk,
    lock_folder,
    remove_drafts,
    resumable_folder,
)


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


def test_drafts_that_a_killed_run_left_are_removed_by_the_next_and_those_in_use_are_not(tmp_path: Path) -> None:
    killed = f"""
import os, signal
from pathlib import Path
from soundspot.utils.atomic_io import atomic_write, atomic_write_folder
with atomic_write(Path({str(tmp_path)!r}) / "a.txt") as draft, atomic_write_folder(Path({str(tmp_path)!r}) / "run"):
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], check=False)
    (tmp_path / ".mine-12345678").mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    with atomic_write(tmp_path / "a.txt") as draft:
        _list_drafts.cache_clear()
        with atomic_write(tmp_path / "a.txt") as other:
            other.write_text("first")
        draft.write_text("second")
    with atomic_write_folder(tmp_path / "run"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine-12345678", "a.txt", "run"]
    assert (tmp_path / "a.txt").read_text() == "second"


def test_a_draft_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another process does that starts at the same moment, and takes it for that of a killed run."""
    made: list[Path] = []

    def lock_late(folder: Path, wait: bool = False) -> AbstractContextManager[None]:
        made.append(folder)
        if len(made) < 3:
            folder.rmdir()
        return lock_folder(folder, wait)

    monkeypatch.setattr("soundspot.utils.atomic_io.lock_folder", lock_late)
    with atomic_write(tmp_path / "a.txt") as draft:
        draft.write_text("whole")
    assert len({*made}) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_drafts_of_killed_runs_are_removed_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.draft-12345678").mkdir()
    with atomic_write(tmp_path / "b.txt") as draft:
        draft.write_text("b")
        remove_drafts(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [draft.parent.name]


def test_a_full_disk_where_a_draft_begins_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DiskFullError, match="No space left"), resumable_folder(tmp_path / "out", {}):
        pass


def test_a_full_disk_is_told_of_a_folder_too(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="run: could not be written"), atomic_write_folder(tmp_path / "run"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["[1]", "[" * 100_000, "{", "3"])
def test_a_damaged_draft_is_begun_anew(tmp_path: Path, content: str) -> None:
    draft = tmp_path / ".run.part"
    (draft / "new").mkdir(parents=True)
    (draft / "new" / "old.txt").write_text("")
    (draft / "plan.json").write_text(content)
    with resumable_folder(tmp_path / "run", {"k": 1}) as folder:
        check_output(json.loads((draft / "plan.json").read_text()), "draft-plan")
        (folder / "new.txt").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "new.txt"]


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_a_full_disk_of_a_thread_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_waited_for: bool
) -> None:
    print_error, full = threading.excepthook, OSError(errno.ENOSPC, "No space left on device")

    def write() -> None:
        time.sleep(0 if is_waited_for else 0.1)
        raise full

    def work() -> None:
        with convert_full_disk(tmp_path / "run"):
            thread = threading.Thread(target=write)
            thread.start()
            if not is_waited_for:
                raise full
            thread.join()

    with pytest.raises(DiskFullError, match="No space left on device"):
        work()
    assert threading.excepthook is print_error
    assert not capsys.readouterr().err


def test_other_errors_are_none_of_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), convert_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "no")
