"""Results on disk: refused where something is in the way, whole or not there at all."""

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

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFullError(OutputError):
    """There is no room left where a result should go."""


def check_output(path: Path, overwrite: bool = False, suffixes: tuple[str, ...] = ()) -> None:
    """Raise OutputError where `path` cannot be written; to be called before the work that makes its content.

    Args:
        path: a file, or a folder to be made.
        overwrite: whether what lies there may be replaced.
        suffixes: the kinds of file that can be written, as (".png", ".npz"); empty: any.
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
    """`path`, or where that exists the first of path-2, path-3... that does not."""
    numbered = (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


@contextmanager
def convert_os_errors(path: Path) -> Iterator[None]:
    """What keeps the block from writing `path` is an OutputError, a FullError where there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise OutputError(
                f"{path}: could not be written ({error.strerror or error}). Look whether the folder may be written to "
                "and its disk is there, then give the same command again"
            ) from error
        folder = next(folder for folder in path.absolute().parents if folder.is_dir())
        left = format_bytes(shutil.disk_usage(folder).free)
        raise DiskFullError(
            f"{path}: could not be written ({error.strerror}): {left} are left on the disk of {folder}. What was whole "
            "is kept: make room there and give the same command again, and it goes on from there"
        ) from error


def format_bytes(num_bytes: float | int) -> str:
    """`12 kB`, `3.4 GB`."""
    step = min(4, max(0, math.floor(math.log(max(num_bytes, 1), 1000))))
    return f"{num_bytes / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"


def write_all(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Writes all of it, or raises OSError; nothing is left in a buffer that would be written later."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Writes a file that is there as a whole or not at all. Its draft, NAME.part, is written over by the next try.

    Raises:
        OutputError: it cannot be written; FullError: there is no room.
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
    """No other process works in the folder inside the block; where the system has no such locks, that is up to people.

    Raises:
        OutputError: one does already.
    """
    if fcntl is None:
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            yield  # a file system without locks
            return
        raise OutputError(f"{folder}: another run writes here now. Wait for its end, or write elsewhere") from error
    try:
        yield
    finally:
        os.close(number)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end: a reader sees the old file or the new, never a part.

    Raises:
        OutputError: it cannot be written; FullError: there is no room.
    """
    parent = path.absolute().parent
    with convert_os_errors(path), tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=parent) as folder:
        draft = Path(folder) / path.name
        yield draft
        os.replace(draft, path)


@contextmanager
def atomic_write_folder(path: Path, overwrite: bool = False, marker_file: str = "") -> Iterator[Path]:
    """The same for a folder of results; one that is there is replaced only after the new one is complete.

    Args:
        holds: a file that every folder of this kind has: one without it is somebody else's and is never replaced.
    """
    check_output_folder(path, overwrite, marker_file)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.absolute().parent) as folder:
        draft = Path(folder) / "new"
        draft.mkdir()
        yield draft
        _put(draft, path)


@contextmanager
def resumable_folder(
    path: Path, settings: dict[str, Any], overwrite: bool = False, marker_file: str = ""
) -> Iterator[Path]:
    """The same for results that take hours: what is written is kept when the process dies, and the next one with the
    same plan finds it there.

    It lies in `.NAME.part` beside the result, whose other files are for what the result does not hold.

    Args:
        plan: all that the result depends on, as JSON can hold it.
        overwrite: whether what lies there may be replaced, and what was begun by another plan thrown away.
    """
    check_output_folder(path, overwrite, marker_file)
    part = path.absolute().with_name(f".{path.name}.part")
    file = part / "plan.json"
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if part.exists() and before != settings:
        if before is not None and not overwrite:
            other = ", ".join(
                f"{key} {before.get(key)!r}, now {settings[key]!r}"
                for key in settings
                if before.get(key) != settings[key]
            )
            raise OutputError(
                f"{part}: holds what was begun by another plan ({other}). Give the same options as then to go on with "
                "it, --overwrite to throw it away, or another output."
            )
        shutil.rmtree(part)
    (part / "new").mkdir(parents=True, exist_ok=True)
    if before != settings:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(settings), encoding="utf-8")
    with lock_folder(part):
        yield part / "new"
        _put(part / "new", path)
    shutil.rmtree(part)


def check_output_folder(path: Path, overwrite: bool, marker_file: str) -> None:
    """Raise OutputError where a folder of results cannot be written; `holds` as in `whole_folder`."""
    check_output(path, overwrite)
    if marker_file and path.is_dir() and any(path.iterdir()) and not (path / marker_file).exists():
        raise OutputError(
            f"{path}: holds something else (there is no {marker_file} in it), so it is not replaced. Write elsewhere."
        )


def _put(draft: Path, path: Path) -> None:
    if path.exists():
        os.replace(path, draft.with_name("old"))
    os.replace(draft, path)
