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

from whence.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FullError(OutputError):
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


def unused(path: Path) -> Path:
    """`path`, or where that exists the first of path-2, path-3... that does not."""
    numbered = (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


@contextmanager
def writing(path: Path) -> Iterator[None]:
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
        left = in_bytes(shutil.disk_usage(folder).free)
        raise FullError(
            f"{path}: could not be written ({error.strerror}): {left} are left on the disk of {folder}. What was whole "
            "is kept: make room there and give the same command again, and it goes on from there"
        ) from error


def in_bytes(count: float | int) -> str:
    """`12 kB`, `3.4 GB`."""
    step = min(4, max(0, math.floor(math.log(max(count, 1), 1000))))
    return f"{count / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"


def append(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Writes all of it, or raises OSError; nothing is left in a buffer that would be written later."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is there as a whole or not at all. Its draft, NAME.part, is written over by the next try.

    Raises:
        OutputError: it cannot be written; FullError: there is no room.
    """
    draft = path.with_name(f"{path.name}.part")
    with writing(path):
        try:
            with FileIO(draft, "wb") as file:
                append(file, content)
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
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
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end: a reader sees the old file or the new, never a part.

    Raises:
        OutputError: it cannot be written; FullError: there is no room.
    """
    parent = path.absolute().parent
    with writing(path), tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=parent) as folder:
        draft = Path(folder) / path.name
        yield draft
        os.replace(draft, path)


@contextmanager
def whole_folder(path: Path, overwrite: bool = False, holds: str = "") -> Iterator[Path]:
    """The same for a folder of results; one that is there is replaced only after the new one is complete.

    Args:
        holds: a file that every folder of this kind has: one without it is somebody else's and is never replaced.
    """
    check_folder(path, overwrite, holds)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.absolute().parent) as folder:
        draft = Path(folder) / "new"
        draft.mkdir()
        yield draft
        _put(draft, path)


@contextmanager
def kept_folder(path: Path, plan: dict[str, Any], overwrite: bool = False, holds: str = "") -> Iterator[Path]:
    """The same for results that take hours: what is written is kept when the process dies, and the next one with the
    same plan finds it there.

    It lies in `.NAME.part` beside the result, whose other files are for what the result does not hold.

    Args:
        plan: all that the result depends on, as JSON can hold it.
        overwrite: whether what lies there may be replaced, and what was begun by another plan thrown away.
    """
    check_folder(path, overwrite, holds)
    part = path.absolute().with_name(f".{path.name}.part")
    file = part / "plan.json"
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if part.exists() and before != plan:
        if before is not None and not overwrite:
            other = ", ".join(
                f"{key} {before.get(key)!r}, now {plan[key]!r}" for key in plan if before.get(key) != plan[key]
            )
            raise OutputError(
                f"{part}: holds what was begun by another plan ({other}). Give the same options as then to go on with "
                "it, --overwrite to throw it away, or another output."
            )
        shutil.rmtree(part)
    (part / "new").mkdir(parents=True, exist_ok=True)
    if before != plan:
        with whole_file(file) as draft:
            draft.write_text(json.dumps(plan), encoding="utf-8")
    with locked(part):
        yield part / "new"
        _put(part / "new", path)
    shutil.rmtree(part)


def check_folder(path: Path, overwrite: bool, holds: str) -> None:
    """Raise OutputError where a folder of results cannot be written; `holds` as in `whole_folder`."""
    check_output(path, overwrite)
    if holds and path.is_dir() and any(path.iterdir()) and not (path / holds).exists():
        raise OutputError(
            f"{path}: holds something else (there is no {holds} in it), so it is not replaced. Write elsewhere."
        )


def _put(draft: Path, path: Path) -> None:
    if path.exists():
        os.replace(path, draft.with_name("old"))
    os.replace(draft, path)
