"""Write results to disk: refused where something is in the way, complete or not there at all."""

import errno
import itertools
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from soundspot.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFullError(OutputError):
    """No room is left where a result should be written."""


def check_output(path: Path, overwrite: bool = False, suffixes: tuple[str, ...] = ()) -> None:
    """Raise OutputError if `path` cannot be written; to be called before the work that makes its content.

    Args:
        path: a file, or a folder to be made.
        overwrite: an existing one may be replaced.
        suffixes: of files that can be written, such as (".png", ".npz"); empty: any.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(suffixes)}."
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist. Make it, or write elsewhere.")
    if suffixes and path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already. Pass --overwrite to replace it, or give another name.")


def next_free_path(path: Path) -> Path:
    """Return `path`, or where that exists the first of path-2, path-3... that does not."""
    numbered = (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


@contextmanager
def convert_os_errors(path: Path) -> Iterator[None]:
    """Convert errors of the block, which writes `path`, to OutputError; to DiskFullError where there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise OutputError(
                f"{path}: could not be written ({error.strerror or error}). Check that the folder may be written to "
                "and its disk is connected, then give the same command again"
            ) from error
        folder = next(folder for folder in path.absolute().parents if folder.is_dir())
        free = format_bytes(shutil.disk_usage(folder).free)
        raise DiskFullError(
            f"{path}: could not be written ({error.strerror}): {free} are left on the disk of {folder}. Complete files "
            "stay: make room there and give the same command again, and it continues from them"
        ) from error


def format_bytes(num_bytes: float | int) -> str:
    """Format a size: `12 kB`, `3.4 GB`."""
    step = min(4, max(0, math.floor(math.log(max(num_bytes, 1), 1000))))
    return f"{num_bytes / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"


def write_all(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Write all of `content`, or raise OSError; nothing stays in a buffer to be written later."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is there completely or not at all; its draft, NAME.part, is overwritten by the next attempt.

    Raises:
        OutputError: it cannot be written; DiskFullError: there is no room.
    """
    draft = path.with_name(f"{path.name}.part")
    with convert_os_errors(path):
        try:
            with FileIO(draft, "wb") as file:
                write_all(file, content)
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let no other process work in the folder during the block; without effect where the system has no such locks.

    Raises:
        OutputError: another process works in it.
    """
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):  # else: a file system without locks
            assert descriptor is not None
            os.close(descriptor)
            raise OutputError(f"{folder}: another run writes here now. Wait for its end, or write elsewhere") from error
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` at the end: a reader sees the old file or the new one.

    Raises:
        OutputError: it cannot be written; DiskFullError: there is no room.
    """
    parent = path.absolute().parent
    with convert_os_errors(path), tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=parent) as folder:
        draft = Path(folder) / path.name
        yield draft
        os.replace(draft, path)


@contextmanager
def atomic_write_folder(path: Path, overwrite: bool = False, marker_file: str = "") -> Iterator[Path]:
    """Yield a temporary folder, which replaces `path` at the end.

    Args:
        path: the folder of results.
        overwrite: an existing one may be replaced.
        marker_file: a file that every folder of this kind has: a folder without it is not replaced.
    """
    check_output_folder(path, overwrite, marker_file)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.absolute().parent) as folder:
        draft = Path(folder) / "new"
        draft.mkdir()
        yield draft
        _replace_folder(draft, path)


@contextmanager
def resumable_folder(
    path: Path, settings: dict[str, Any], overwrite: bool = False, marker_file: str = ""
) -> Iterator[Path]:
    """Yield a folder for results that take hours: its files survive the process, and the next one finds them there.

    It lies in `.NAME.part` beside the result, whose other files are for what the result does not hold.

    Args:
        path: the folder of results.
        settings: all that the result depends on, as JSON can hold it; the next process must have the same.
        overwrite: an existing result, and what was begun with other settings, may be replaced.
        marker_file: as in `atomic_write_folder`.
    """
    check_output_folder(path, overwrite, marker_file)
    partial = path.absolute().with_name(f".{path.name}.part")
    file = partial / "plan.json"
    try:
        previous = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        previous = None
    if partial.exists() and previous != settings:
        if previous is not None and not overwrite:
            changes = ", ".join(
                f"{key} {previous.get(key)!r}, now {value!r}"
                for key, value in settings.items()
                if previous.get(key) != value
            )
            raise OutputError(
                f"{partial}: holds what was begun with other options ({changes}). Give the same options as then to "
                "continue it, --overwrite to delete it, or another output."
            )
        shutil.rmtree(partial)
    (partial / "new").mkdir(parents=True, exist_ok=True)
    if previous != settings:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(settings), encoding="utf-8")
    with lock_folder(partial):
        yield partial / "new"
        _replace_folder(partial / "new", path)
    shutil.rmtree(partial)


def check_output_folder(path: Path, overwrite: bool, marker_file: str) -> None:
    """Raise OutputError if a folder of results cannot be written; `marker_file` as in `atomic_write_folder`."""
    check_output(path, overwrite)
    if marker_file and path.is_dir() and any(path.iterdir()) and not (path / marker_file).exists():
        raise OutputError(
            f"{path}: holds something else (there is no {marker_file} in it), so it is not replaced. Write elsewhere."
        )


def _replace_folder(draft: Path, path: Path) -> None:
    if path.exists():
        os.replace(path, draft.with_name("old"))
    os.replace(draft, path)
