"""Shards: tar files in WebDataset's layout with an index of offsets beside each, so that a sample is one read away.

A sample is a key and its files, of the same name up to the first dot: `clip.jpg`, `clip.flac`, `clip.json`. Any tool
that reads WebDataset reads them; soundspot reads them by the index. The bytes of a shard depend only on its samples and
their order.
"""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path

from soundspot.errors import DataError
from soundspot.utils.atomic_io import atomic_write_bytes, convert_os_errors, write_all
from soundspot.utils.safe_read import parse_json

LAST_MEMBER = "json"  # the file that is written last: a sample that has it is complete
_BLOCK = tarfile.BLOCKSIZE
_HERE = "./"  # before a name: no part of its key
_SKIPPED_FOLDER = re.compile(
    r"__[^/]*__/"
)  # first folder of names that WebDataset takes for its own metadata and skips
_SHARD_METADATA = re.compile(r"__[^/]*__")  # files that WebDataset writes about the shard itself


@dataclass(frozen=True)
class TarMember:
    """Position of a file in its shard.

    Attributes:
        offset: position of its first byte in the shard, in bytes.
        size: size in bytes.
        crc: CRC-32 of its bytes.
    """

    offset: int
    size: int
    crc: int

    @property
    def is_valid(self) -> bool:
        """True for three whole numbers below 2^62; an index may claim anything."""
        return all(type(number) is int and 0 <= number < 1 << 62 for number in (self.offset, self.size, self.crc))

    @property
    def end(self) -> int:
        """Offset in bytes of the next header: the end of the file, rounded up to a multiple of 512."""
        return self.offset + self.size + -self.size % _BLOCK


ShardIndex = dict[str, dict[str, TarMember]]
"""Sample key -> file suffix -> position."""


class ShardWriter:
    """Writer that appends samples to one shard, in a `with` block.

    The shard has its name, and its index, once it is closed; until then it is a draft, NAME.tar.part. A draft that a
    killed process left is continued: its complete samples are used, and the rest is cut off.

    Args:
        path: path of the shard.
        keys: keys of a draft's samples to use; None: all that are complete.

    Attributes:
        index: positions of the files of the samples written so far.

    Raises:
        OutputError: the draft cannot be written.
    """

    def __init__(self, path: Path, keys: Collection[str] | None = None) -> None:
        self.path, self.draft_path = path, get_draft_path(path)
        self.index: ShardIndex = {}
        if self.draft_path.exists():
            complete = complete_samples(self.draft_path)
            self.index = {key: files for key, files in complete.items() if keys is None or key in keys}
        end = max((member.end for files in self.index.values() for member in files.values()), default=0)
        with convert_os_errors(path):
            self._file = FileIO(self.draft_path, "rb+" if self.draft_path.exists() else "wb")
        self._truncate(end)

    def _truncate(self, end: int) -> None:
        with convert_os_errors(self.path):
            self._file.truncate(end)
            self._file.seek(end)

    def clear(self) -> None:
        """Remove all samples from the draft."""
        self.index = {}
        self._truncate(0)

    def add(self, key: str, files: Mapping[str, bytes]) -> None:
        """Append one sample; its file `json` comes last.

        Args:
            key: key of the sample, without dots.
            files: bytes of each file by its suffix, such as `jpg`.

        Raises:
            DataError: the key exists already, or is not valid.
            OutputError: the disk is full, or may not be written.
        """
        if key in self.index or not key or "." in key or key.startswith("/"):
            raise DataError(
                f"{self.path}: found the key {key!r}, expected one that is new and has no dot in it. Rename it"
            )
        begin, content = self._file.tell(), bytearray()
        members: dict[str, TarMember] = {}
        for suffix in sorted(files, key=lambda suffix: (suffix == LAST_MEMBER, suffix)):
            info = tarfile.TarInfo(f"{_HERE if _SKIPPED_FOLDER.match(key) else ''}{key}.{suffix}")
            info.size = len(files[suffix])
            content += info.tobuf(tarfile.PAX_FORMAT)
            members[suffix] = TarMember(begin + len(content), info.size, zlib.crc32(files[suffix]))
            content += files[suffix] + bytes(-info.size % _BLOCK)
        with convert_os_errors(self.path):
            write_all(self._file, content)
        self.index[key] = members

    def close(self) -> None:
        """End the archive, write its index, and rename the draft to the shard.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        with convert_os_errors(self.path):
            write_all(self._file, bytes(2 * _BLOCK))
            os.fsync(self._file.fileno())
            self._file.close()
            atomic_write_bytes(get_index_path(self.path), _encode_index(self.index))
            os.replace(self.draft_path, self.path)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # a draft that was not closed stays, to be continued


class ShardReader:
    """Reader of single files of one shard, each compared with its checksum.

    Args:
        path: path of the shard; its index lies beside it.

    Attributes:
        index: positions of the files of each sample: key -> suffix -> `TarMember`.

    Raises:
        DataError: the shard or its index is missing, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            entries = parse_json(get_index_path(path).read_bytes())
            self.index: ShardIndex = {
                key: {suffix: TarMember(*position) for suffix, position in files.items()}
                for key, files in entries.items()
            }
            members = (member for files in self.index.values() for member in files.values())
            if wrong := next((m for m in members if not m.is_valid), None):
                raise ValueError(f"{wrong!r:.200} is no position")
            stat = path.stat()
            self._size, self._stamp = stat.st_size, (stat.st_ino, stat.st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: found no index that can be read ({error}), expected {get_index_path(path).name} beside "
                "it. Fetch it again, or write it anew with `soundspot data index-shards`"
            ) from error

    def read(self, key: str, suffix: str) -> bytes:
        """Read the bytes of one file of a sample.

        Args:
            key: key of the sample.
            suffix: suffix of the file without its first dot, such as `jpg` or `0.jpg`.

        Returns:
            The bytes of the file.

        Raises:
            DataError: there is no such file, the shard was cut short, or its bytes have changed.
        """
        try:
            member = self.index[key][suffix]
        except KeyError:
            raise DataError(
                f"{self.path}: found no {key}.{suffix}, expected it in this shard. Write the shard again"
            ) from None
        try:
            file = _open_shard(self.path, self._stamp)
            size = min(member.size, self._size)  # what an index claims is not allocated
            content = os.pread(file.descriptor, size, member.offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: could not be read ({error.strerror}), expected the shard that its index describes. Look "
                "whether it is there and may be read, or allow more open files (`ulimit -n`)"
            ) from error
        if len(content) < member.size:
            raise DataError(
                f"{self.path}: found {self._size} bytes (cut short), expected {member.end} or more, as {key}.{suffix} "
                "lies there. Fetch or write this shard again"
            )
        if zlib.crc32(content) != member.crc:
            raise DataError(
                f"{self.path}: found {key}.{suffix} with another checksum than in its index: bytes are wrong. Fetch "
                "or write this shard again"
            )
        return content


class _OpenFile:
    """Open file descriptor, closed when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


@lru_cache(64)
def _open_shard(path: Path, stamp: tuple[int, int]) -> _OpenFile:
    """Return the open shard, of the last 64 of all readers; `stamp` tells a file from one that took its name."""
    return _OpenFile(path)


def get_draft_path(shard: Path) -> Path:
    """Return the path that a shard has until it is complete.

    Args:
        shard: path of the shard, NAME.tar.

    Returns:
        NAME.tar.part in the same folder.
    """
    return shard.with_name(f"{shard.name}.part")


def get_index_path(shard: Path) -> Path:
    """Return the path of the index of a shard.

    Args:
        shard: path of the shard, NAME.tar.

    Returns:
        NAME.index.json in the same folder.
    """
    return shard.with_suffix(".index.json")


def list_shards(folder: Path) -> list[Path]:
    """List the shards of a folder, without its subfolders.

    Args:
        folder: folder of the shards.

    Returns:
        Paths of its .tar files, sorted by name; not empty.

    Raises:
        DataError: the folder does not exist, or holds no shard.
    """
    shards = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not shards:
        raise DataError(
            f"{folder}: found no shards (*.tar), expected a folder that `soundspot data extract` or `to-shards` wrote. "
            "Check the path"
        )
    return shards


def write_shard_index(shard: Path) -> int:
    """Write the index of a shard of another tool, beside it.

    Args:
        shard: path of the shard, NAME.tar.

    Returns:
        Number of its samples.

    Raises:
        DataError: the file is no tar file, or was cut short.
    """
    index, problem = _read_members(shard)
    if problem:
        raise DataError(f"{shard}: found {problem}, expected a whole tar file. Fetch it again")
    atomic_write_bytes(get_index_path(shard), _encode_index(index))
    return len(index)


def complete_samples(draft: Path) -> ShardIndex:
    """Return the samples of a draft that were written to their end: those with a `json` file.

    Args:
        draft: path of the draft.

    Returns:
        Positions of their files: key -> suffix -> `TarMember`.
    """
    return {key: files for key, files in _read_members(draft)[0].items() if LAST_MEMBER in files}


def _read_members(archive: Path) -> tuple[ShardIndex, str]:
    """Return the index of an archive as far as it can be read, and the problem that ends it (empty: none)."""
    index: ShardIndex = {}
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as tar, archive.open("rb") as file:
            for info in tar:
                if info.offset_data + info.size > size:
                    return index, f"a file that ends in {info.name}"
                path = info.name.removeprefix(_HERE)
                if not info.isreg() or _SHARD_METADATA.fullmatch(path):
                    continue
                folder, slash, name = path.rpartition("/")
                stem, _, suffix = name.partition(".")
                file.seek(info.offset_data)
                member = TarMember(info.offset_data, info.size, zlib.crc32(file.read(info.size)))
                index.setdefault(folder + slash + stem, {})[suffix] = member
    except tarfile.TarError as error:
        return index, f"a file that is not tar ({error})"
    return index, ""


def _encode_index(index: ShardIndex) -> bytes:
    """Return the index as JSON, a line for each sample."""
    lines = (
        f"{json.dumps(key)}: {json.dumps({suffix: [m.offset, m.size, m.crc] for suffix, m in files.items()})}"
        for key, files in index.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
